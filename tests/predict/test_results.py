"""What one can do with a result: draw, show, plot, index, hand on to other libraries."""

import io
import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from scalenet import BottomUpPoseEstimator, PoseEstimator, Segmenter
from scalenet.data.images import ImageError, save_image
from scalenet.data.labels import CAMVID, COCO
from scalenet.predict.exports import run_lengths
from scalenet.predict.results import PoseResult, SegmentationResult
from scalenet.predict.visualization import person_colour

from ..small_networks import sample_image, small_network


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return sample_image(96, 128)


@pytest.fixture
def people() -> PoseResult:
    """Two people, 17 joints each on a slanted line, of which the last lacks in the second."""
    x = np.linspace(5, 60, 17)
    one = np.column_stack([x, x, np.full(17, 0.9)])
    keypoints = np.stack([one, one + np.array([60, 0, 0])]).astype(np.float32)
    keypoints[1, 16] = 0
    boxes = np.array([[0, 0, 64, 64], [60, 0, 124, 64]], np.float32)
    return PoseResult(keypoints, np.array([0.9, 0.4], np.float32), boxes, COCO, np.array([7, -1]))


@pytest.fixture
def classes() -> SegmentationResult:
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 2:5] = 3
    return SegmentationResult(mask, CAMVID)


def test_people_are_iterated_and_indexed(people):
    first, second = people
    assert first.id == 7 and second.id is None and first.score == pytest.approx(0.9) and first.box.tolist()[2] == 64
    np.testing.assert_array_equal(first["left_wrist"], people.keypoints[0, COCO.names.index("left_wrist")])
    with pytest.raises(KeyError, match="no joint 'tail'; there are nose"):
        first["tail"]
    assert people[-1].score == second.score
    for part in (people[1:], people[people.scores < 0.5], people[[1]]):
        assert isinstance(part, PoseResult) and len(part) == 1 and part.ids.tolist() == [-1]
        np.testing.assert_array_equal(part.keypoints[0], people.keypoints[1])
    with pytest.raises(IndexError):
        people[2]
    assert PoseResult(np.zeros((0, 17, 3)), np.zeros(0), None, COCO), "a result of nobody is a result"


def test_descriptions_are_short(people, classes):
    assert repr(people) == "<PoseResult 2 people, scores 0.90 0.40; 17 joints>"
    assert repr(people[:0]) == "<PoseResult 0 people; 17 joints>"
    assert repr(classes) == "<SegmentationResult 4x6, camvid: sky 75.0%, road 25.0%>"
    segmenter = Segmenter(small_network(), "cpu")
    assert "Segmenter" in repr(segmenter) and "11 classes of camvid, 64x80, cpu, float32" in repr(segmenter)


@pytest.mark.parametrize("task, kind", [("pose", PoseEstimator), ("bottomup", BottomUpPoseEstimator)])
def test_a_called_predictor_tells_results_their_image(task, kind, photo, tmp_path):
    options = {"detector": None} if task == "pose" else {}
    estimator = kind(small_network(task, COCO), "cpu", **options)
    save_image(tmp_path / "p.png", photo)
    data = (tmp_path / "p.png").read_bytes()
    plain = estimator(photo).draw(photo)
    for form in (photo, tmp_path / "p.png", data, io.BytesIO(data)):
        result = estimator(form)
        np.testing.assert_array_equal(result.draw(), plain)
    np.testing.assert_array_equal(cv2.imread(str(result.save(tmp_path / "drawn.png")))[..., ::-1], plain)
    (streamed,) = estimator.stream([photo])
    with pytest.raises(ValueError, match=r"none\.png: this result has no image attached: pass the image to draw on"):
        streamed.save(tmp_path / "none.png")
    with pytest.raises(ValueError, match="pass the image to draw on"):
        streamed.draw()
    assert streamed._repr_png_() is None


def test_shown_in_notebooks_viewers_and_axes(photo, monkeypatch):
    result = Segmenter(small_network(), "cpu")(photo)
    png = np.asarray(Image.open(io.BytesIO(result._repr_png_())))
    np.testing.assert_array_equal(png, result.draw())
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append(np.asarray(self)))
    result.show()
    np.testing.assert_array_equal(shown[0], result.draw())
    matplotlib = pytest.importorskip("matplotlib", reason="pip install matplotlib")
    matplotlib.use("agg")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert result.plot(axes) is axes and axes.images[0].get_array().shape == result.draw().shape


def test_colours_and_opacity(people, photo):
    canvas = np.zeros((96, 128, 3), np.uint8)

    def has(drawn, colour):
        return (drawn == colour).all(-1).any()

    by_person = people.draw(canvas, colour_by="person")
    assert has(by_person, person_colour(7)) and has(by_person, person_colour(1)) and not has(by_person, COCO.colours[5])
    by_joint = people.draw(canvas, colour_by="joint")
    assert has(by_joint, COCO.colours[5]) and has(by_joint, COCO.colours[9])
    mixed = people.draw(canvas)
    assert has(mixed, person_colour(7)) and has(mixed, COCO.colours[5])
    assert (mixed[:, :60] == by_person[:, :60]).all() and (mixed[:, 70:] == by_joint[:, 70:]).all()
    with pytest.raises(ValueError, match="colour_by is 'person', 'joint' or None, got 'mood'"):
        people.draw(canvas, colour_by="mood")
    np.testing.assert_array_equal(people.draw(photo, alpha=0.5), people.draw(photo, strength=0.5))
    assert (people.draw(photo, alpha=0.5) != people.draw(photo)).any()


def test_no_limb_ends_in_a_joint_that_is_not_drawn(people):
    canvas = np.zeros((96, 128, 3), np.uint8)
    alone = people[1:]
    left = alone.keypoints.copy()
    knee, ankle = COCO.names.index("right_knee"), 16
    assert (min(knee, ankle), max(knee, ankle)) in {tuple(sorted(limb)) for limb in COCO.skeleton}
    assert not PoseResult(left, alone.scores, None, COCO).draw(canvas, threshold=0)[:3, :3].any(), "a limb to 0, 0"
    left[0, :, 2] = 0.1
    left[0, knee, 2] = 0.9
    drawn = PoseResult(left, alone.scores, None, COCO).draw(canvas, threshold=0.3)
    rows, columns = np.nonzero(drawn.any(-1))
    assert np.ptp(rows) < 10 and np.ptp(columns) < 10, "the knee alone"


def test_palette_masks_keep_their_indices(classes, tmp_path):
    file = Image.open(classes.save_palette(tmp_path / "new" / "mask.png"))
    assert file.mode == "P"
    np.testing.assert_array_equal(np.asarray(file), classes.mask)
    assert np.asarray(file.convert("RGB"))[1, 2].tolist() == list(CAMVID.colours[3])
    with pytest.raises(ImageError, match=r"is a \.png file"):
        classes.save_palette(tmp_path / "mask.jpg")


def test_classes_in_cocos_form(classes):
    sky, road = json.loads(json.dumps(classes.to_coco(5)))
    assert (sky["category_id"], road["category_id"], road["image_id"]) == (0, 3, 5)
    assert sky["area"] == 18 and road["area"] == 6 and road["segmentation"]["size"] == [4, 6]
    mask = pytest.importorskip("pycocotools.mask", reason="pip install pycocotools")
    encoded = mask.frPyObjects(road["segmentation"], 4, 6)
    np.testing.assert_array_equal(mask.decode(encoded), classes.mask == 3)
    assert run_lengths(np.array([[True, False], [True, True]])) == [0, 2, 1, 1]


def test_supervision_takes_results(people, classes, monkeypatch):
    supervision = pytest.importorskip("supervision", reason="pip install supervision")
    points = people.to_supervision()
    assert isinstance(points, supervision.KeyPoints) and len(points) == 2
    np.testing.assert_array_equal(points.xy, people.keypoints[..., :2])
    np.testing.assert_array_equal(points.keypoint_confidence, people.keypoints[..., 2])
    assert len(people[:0].to_supervision()) == 0
    found = classes.to_supervision()
    assert found.class_id.tolist() == [0, 3] and found.xyxy[1].tolist() == [2, 1, 4, 2] and found.mask[1].sum() == 6
    canvas = np.zeros((96, 128, 3), np.uint8)
    assert supervision.VertexAnnotator().annotate(canvas.copy(), points).any()
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        people.to_supervision()
