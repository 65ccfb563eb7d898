"""The top-down path with a network whose heatmaps are the image's colours, so that the right answer is known."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model_weights

import scalenet
from scalenet.cli import main
from scalenet.data import DataWarning
from scalenet.data.boxes import boxes_for, boxes_of, read_boxes
from scalenet.data.images import save_image
from scalenet.data.labels import COCO, LSP, Labels
from scalenet.data.transforms import BoxError
from scalenet.evaluate.pose import evaluate
from scalenet.pose.codec import HeatmapCodec
from scalenet.pose.oks import person_scores
from scalenet.predict.base import OutputError
from scalenet.predict.detector import torchvision_detector
from scalenet.predict.results import PoseResult
from scalenet.predict.topdown import PoseEstimator

from ..small_networks import sample_image as photograph
from ..small_networks import small_network, write
from ..small_pose import SPOTS, SpotNetwork, box_of, coco_form, paint, person

ALICE, BOB = person(70, 90), person(170, 110, 80)


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator(SpotNetwork(), device="cpu", flip=False, detector=None)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return paint((200, 240), [ALICE, BOB])


def corners(joints: np.ndarray) -> list[float]:
    x, y, w, h = box_of(joints)
    return [x, y, x + w, y + h]


def test_joints_come_back_in_pixels_of_the_image(estimator, photo):
    result = estimator(photo, [corners(ALICE), [*corners(BOB), 0.5]][:1])
    assert isinstance(result, PoseResult) and result.keypoints.shape == (1, 3, 3)
    np.testing.assert_allclose(result.keypoints[0, :, :2], ALICE[:, :2], atol=1)
    both = estimator(photo, np.array([[*corners(ALICE), 1], [*corners(BOB), 0.5]]))
    np.testing.assert_allclose(both.keypoints[:, :, :2], [ALICE[:, :2], BOB[:, :2]], atol=1)
    np.testing.assert_allclose(both.scores, both.keypoints[..., 2].mean(1) * [1, 0.5], rtol=1e-5)
    np.testing.assert_allclose(both.boxes, [corners(ALICE), corners(BOB)], rtol=1e-6)


@pytest.mark.parametrize("convention", ["authors", "aligned"])
def test_both_conventions_go_there_and_back(convention, photo):
    """The spot network averages four pixels, which is the aligned convention: the authors' is half of three off."""
    labels = dataclasses.replace(SPOTS, convention=convention)
    found = PoseEstimator(SpotNetwork(labels=labels), device="cpu", flip=False)(photo, [corners(ALICE)])
    error = found.keypoints[0, :, :2] - ALICE[:, :2]
    width, height = box_of(ALICE)[2:]
    pixels = 1.25 * max(width / 48, height / 64)  # of the image in one of the input
    expected = 0 if convention == "aligned" else -1.5 * pixels
    np.testing.assert_allclose(error, expected, atol=0.8)


def test_without_boxes_and_detector_the_image_is_one_person(estimator):
    result = estimator(paint((200, 150), [ALICE]))
    assert result.boxes is None and len(result) == 1
    np.testing.assert_allclose(result.keypoints[0, :, :2], ALICE[:, :2], atol=1.5)


def test_people_are_batched_over_images(photo):
    net = SpotNetwork()
    small, large = (PoseEstimator(net, device="cpu", flip=False, batch_size=n) for n in (2, 64))
    boxes = [[corners(ALICE), corners(BOB)], [], [corners(BOB)]]
    one = small([photo, photo, photo], boxes)
    assert net.batches == [2, 1]
    many = large([photo, photo, photo], boxes)
    assert net.batches == [2, 1, 3] and [len(r) for r in many] == [2, 0, 1]
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-4)
    np.testing.assert_array_equal(many[0].keypoints[1], many[2].keypoints[0])


def test_a_stream_gives_a_image_as_soon_as_its_people_are_done(photo):
    alice, bob, network = corners(ALICE), corners(BOB), SpotNetwork()
    boxes = [[alice], [], [alice, bob], [bob], [], [alice, bob, alice, bob, alice], [bob], *[[]] * 9, [alice]]
    estimator = PoseEstimator(network, device="cpu", flip=False, batch_size=4)
    pulled, held = [], []
    stream = estimator.stream((pulled.append(i) or photo for i in range(len(boxes))), iter(boxes))
    results = []
    for result in stream:
        held.append(len(pulled) - len(results))
        results.append(result)
    assert [len(r) for r in results] == [len(rows) for rows in boxes] and max(held) == 4
    assert network.batches == [4, 4, 2, 1], "full, full, the rest after four images, the last"
    for result, one in zip(results, estimator([photo] * len(boxes), boxes), strict=True):
        np.testing.assert_array_equal(result.keypoints, one.keypoints)
    with pytest.raises(BoxError, match="image 1"):
        list(estimator.stream([photo] * 2, [[alice], [[1, 1, 1, 1]]]))
    with pytest.raises(ValueError, match="zip"):
        list(estimator.stream([photo] * 2, [[alice]]))


def test_thousands_of_boxes_run_in_chunks(photo):
    net = SpotNetwork((32, 24))
    corner = np.random.default_rng(0).uniform(0, 180, (3000, 2))
    result = PoseEstimator(net, device="cpu", flip=False, batch_size=256)(photo, np.hstack([corner, corner + 30]))
    assert result.keypoints.shape == (3000, 3, 3) and max(net.batches) == 256 and len(net.batches) == 12


def test_odd_boxes(estimator, photo):
    result = estimator(
        photo, [corners(ALICE), [500, 10, 600, 90], [-90, -90, -5, -5], [-1e4, -1e4, 1e4, 1e4], [0, 0, 1e-3, 1e-3]]
    )
    assert result.scores[0] > 0.5 and result.scores[1] == result.scores[2] == 0
    assert not result.keypoints[1:3, :, 2].any() and np.isfinite(result.keypoints).all()
    with pytest.raises(BoxError, match=r"^box 0 has no area"):
        estimator(photo, [[50, 50, 20, 20]])
    with pytest.raises(BoxError, match=r"^image 1: box 0 is not finite"):
        estimator([photo, photo], [[], [[0, 0, float("nan"), 5]]])
    with pytest.raises(BoxError, match="2 images need as many sets of boxes, got 1"):
        estimator([photo, photo], [[]])


def test_no_images_and_nobody(estimator, photo):
    assert estimator([]) == []
    nobody = estimator(photo, [])
    assert nobody.keypoints.shape == (0, 3, 3) and nobody.scores.shape == (0,) and nobody.boxes.shape == (0, 4)
    assert nobody.to_coco(1) == [] and nobody.to_dict()["keypoints"] == []
    np.testing.assert_array_equal(nobody.draw(photo), photo)


def test_a_detector_is_asked_where_no_boxes_are_given(photo):
    seen = []

    def detect(image):
        seen.append(image.shape)
        return torch.tensor([[*corners(BOB), 0.25]])

    estimator = PoseEstimator(SpotNetwork(), device="cpu", flip=False, detector=detect)
    result = estimator(photo)
    np.testing.assert_allclose(result.keypoints[0, :, :2], BOB[:, :2], atol=1)
    assert result.scores[0] < 0.26 and result.boxes.shape == (1, 4) and seen == [(200, 240, 3)]
    assert len(estimator(photo, [corners(ALICE), corners(BOB)])) == 2 and len(seen) == 1
    estimator.detector = lambda image: []
    assert estimator(photo).keypoints.shape == (0, 3, 3)


def test_flip_is_the_mean_with_the_mirrored_person():
    net = small_network("pose", LSP, (64, 48))
    image = photograph(90, 80)
    without, with_flip = (PoseEstimator(net, device="cpu", flip=f, detector=None) for f in (False, True))
    plain, flipped = without(image), with_flip(image)
    assert np.abs(plain.keypoints - flipped.keypoints).max() > 0.01
    mirrored = with_flip(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(mirrored.keypoints[:, LSP.flip_order(), 2], flipped.keypoints[..., 2], atol=0.05)
    np.testing.assert_array_equal(without(image, flip=True).keypoints, flipped.keypoints)


def test_flip_needs_to_know_left_and_right(photo):
    nameless = SpotNetwork(labels=Labels.plain(3))
    estimator = PoseEstimator(nameless, device="cpu", detector=None)
    assert not estimator.flip and len(estimator(photo)) == 1
    with pytest.raises(ValueError, match="needs labels with flip_pairs"):
        estimator(photo, flip=True)


@pytest.mark.parametrize("kind", ["path", "grey", "rgba", "deep", "exif", "pil", "tensor"])
def test_any_image_does(kind, estimator, photo, tmp_path):
    height, width = photo.shape[:2]
    image = photo
    if kind == "grey":
        image = photo.max(2)
    elif kind == "rgba":
        image = np.dstack([photo, np.full((height, width), 9, np.uint8)])
    elif kind == "pil":
        image = Image.fromarray(photo)
    elif kind == "tensor":
        image = torch.from_numpy(photo).permute(2, 0, 1) / 255
    elif kind != "path":
        image = tmp_path / f"{kind}.png"
        if kind == "deep":
            cv2.imwrite(str(image), photo[:, :, ::-1].astype(np.uint16) * 257)
        else:
            turned = Image.fromarray(np.rot90(photo, 1).copy())
            exif = turned.getexif()
            exif[0x0112] = 6  # turn clockwise to see it upright
            turned.save(image, exif=exif)
    else:
        image = tmp_path / "plain.png"
        Image.fromarray(photo).save(image)
    result = estimator(image, [corners(ALICE)])
    assert result.keypoints.shape == (1, 3, 3)
    if kind != "grey":
        np.testing.assert_allclose(result.keypoints[0, :, :2], ALICE[:, :2], atol=1)


def test_tiny_and_empty_images(estimator):
    assert np.isfinite(estimator(np.zeros((1, 1, 3), np.uint8)).keypoints).all()
    with pytest.raises(ValueError, match="no pixels"):
        estimator(np.zeros((0, 5, 3), np.uint8))


def test_a_very_large_image(estimator):
    large = np.zeros((10000, 10000, 3), np.uint8)
    far = person(9000, 9000, 1000)
    for k, (x, y, _) in enumerate(far.astype(int)):
        large[y - 40 : y + 41, x - 40 : x + 41, k] = 255
    box = corners(far)
    result = estimator(large, [[box[0] - 150, box[1] - 150, box[2] + 150, box[3] + 150]])
    np.testing.assert_allclose(result.keypoints[0, :, :2], far[:, :2], atol=15)


def test_what_is_no_top_down_network_is_refused():
    with pytest.raises(ValueError, match="needs a top-down pose network, got one for segmentation"):
        PoseEstimator(small_network(), device="cpu")
    with pytest.raises(ValueError, match="batch_size"):
        PoseEstimator(SpotNetwork(), device="cpu", batch_size=0)
    with pytest.raises(scalenet.NoWeights):
        PoseEstimator("scalenet_p1", device="cpu")


def test_person_scores_by_hand():
    joints = np.zeros((3, 4, 3))
    joints[0, :, 2] = [0.9, 0.5, 0.2, 0.1]  # above 0.2: two
    joints[1, :, 2] = 0.2
    np.testing.assert_allclose(person_scores(joints, np.array([0.5, 1, 1])), [0.35, 0, 0])
    sure = np.full((3, 4), 0.8)
    np.testing.assert_allclose(person_scores(joints, np.array([0.5, 1, 1]), sure), [0.4, 0, 0])


def test_results_draw_and_export(estimator, photo):
    result = estimator(photo, [corners(ALICE), corners(BOB)])
    drawn = result.draw(photo)
    assert drawn.shape == photo.shape and drawn.dtype == np.uint8
    x, y = ALICE[2, :2].round().astype(int)
    assert drawn[y, x].tolist() == list(SPOTS.colours[2])
    limb = ((ALICE[0] + ALICE[2]) / 2).round().astype(int)
    assert drawn[limb[1], limb[0]].any() and not photo[limb[1], limb[0]].sum() > 60
    data = json.loads(json.dumps(result.to_dict()))
    assert data["names"] == list(SPOTS.names) and np.shape(data["keypoints"]) == (2, 3, 3) and len(data["boxes"]) == 2
    coco = result.to_coco(7)
    assert [set(e) for e in coco] == [{"image_id", "category_id", "keypoints", "score"}] * 2
    assert len(coco[0]["keypoints"]) == 9 and coco[0]["image_id"] == 7


def test_torchvision_detector_finds_people_only(monkeypatch):
    import torchvision

    class Fake(torch.nn.Module):
        def forward(self, images):
            assert images[0].shape == (3, 40, 30) and images[0].max() <= 1
            boxes = torch.tensor([[0, 0, 9, 9], [1, 1, 8, 8], [2, 2, 7, 7.0]])
            return [{"boxes": boxes, "labels": torch.tensor([1, 3, 1]), "scores": torch.tensor([0.9, 0.99, 0.2])}]

    asked = []
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: asked.append(weights) or Fake())
    found = torchvision_detector("ssdlite320_mobilenet_v3_large")(np.full((40, 30, 3), 255, np.uint8))
    np.testing.assert_allclose(found, [[0, 0, 9, 9, 0.9]])
    assert asked[0].meta["categories"][1] == "person"
    with pytest.raises(LookupError, match="torchvision has no detector 'yolo'; choose from"):
        torchvision_detector("yolo")


def test_crowdposes_metrics_of_a_top_down_network(tmp_path):
    path = coco_form(tmp_path / "data", [[ALICE, BOB], [ALICE], [BOB]])
    data = json.loads(path.read_text())
    for image, index in zip(data["images"], (0.5, 0.05, 0.9), strict=True):
        image["crowdIndex"] = index
    path.write_text(json.dumps(data))
    metrics = evaluate(SpotNetwork(), "crowdpose", tmp_path / "data", "val", device="cpu", flip=False)
    assert metrics["boxes"] == "ground truth" and metrics["people"] == 4 and metrics["oks_nms"] == 0.9
    assert metrics["ap50"] == metrics["ap75"] == pytest.approx(1)
    assert min(metrics[k] for k in ("ap", "ap_easy", "ap_medium", "ap_hard")) > 0.8
    assert "apm" not in metrics
    everybody = [[0, 0, 40, 60], [200, 150, 30, 40]]
    boxes = [{"image_id": i, "category_id": 1, "bbox": b, "score": 1.0} for i in (1, 2, 3) for b in everybody]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    elsewhere = evaluate(
        SpotNetwork(), "crowdpose", tmp_path / "data", "val", device="cpu", flip=False, boxes=tmp_path / "boxes.json"
    )
    assert elsewhere["boxes"] == "boxes.json" and elsewhere["people"] == 6 and elsewhere["ap50"] < 0.1


# -- boxes files and the command ---------------------------------------------------------------------------
def test_both_forms_of_boxes_files(tmp_path):
    named, results = tmp_path / "named.json", tmp_path / "results.json"
    named.write_text(json.dumps({"a.jpg": [[1, 2, 3, 4]], "b.jpg": [], "c": [[0, 0, 5, 5, 0.5]]}))
    table = read_boxes(named)
    assert table["a.jpg"].tolist() == [[1, 2, 4, 6, 1]] and table["b.jpg"].shape == (0, 5)
    assert boxes_of(table, "folder/a.jpg") is table["a.jpg"] and boxes_of(table, "c.png").tolist() == [
        [0, 0, 5, 5, 0.5]
    ]
    results.write_text(
        json.dumps(
            [
                {"image_id": 12, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
                {"image_id": 12, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.9},
            ]
        )
    )
    assert boxes_of(read_boxes(results), "000000000012.jpg").tolist() == [[1, 2, 4, 6, 0.5]]
    assert [len(b) for b in boxes_for(read_boxes(results), ["12.jpg", "13.jpg"], results)] == [1, 0]
    with pytest.raises(BoxError, match="names none of the images"):
        boxes_for(read_boxes(results), ["13.jpg"], results)
    for first, second in (("12.jpg", "012.jpg"), ("a/12.jpg", "b/12.jpg")):
        with pytest.raises(BoxError, match=f"the boxes of 12 could be those of {first} or of {second}"):
            boxes_for(read_boxes(results), [first, second], results)


@pytest.mark.parametrize("images", [[], [{"id": 7, "file_name": "7.jpg"}]], ids=["results", "annotations"])
def test_boxes_of_nobody_are_said(tmp_path, images):
    """A detector that counts its categories from 0 finds no people of COCO's category 1."""
    file, rows = tmp_path / "boxes.json", [{"image_id": 7, "category_id": 0, "bbox": [1, 2, 3, 4], "score": 0.5}]
    file.write_text(json.dumps({"images": images, "annotations": rows} if images else rows))
    with pytest.warns(DataWarning, match="of category 1, all 1 boxes here of 0: nobody is taken"):
        assert not any(map(len, read_boxes(file).values()))


def test_heatmaps_that_are_no_numbers_are_told():
    net = small_network("pose", COCO, (64, 48), (1, 1))
    with torch.no_grad():
        next(reversed(list(net.parameters())))[3] = float("nan")
    with pytest.raises(OutputError, match="heatmaps hold NaN or infinity: its weights"):
        PoseEstimator(net, "cpu", detector=None)(np.zeros((64, 48, 3), np.uint8))


def test_boxes_of_coco_annotations(tmp_path):
    file = tmp_path / "val.json"
    people = [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}, {"image_id": 7, "bbox": [0, 0, 5, 6]}]
    others = [
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9]},
        {"image_id": 7, "iscrowd": 1, "bbox": [0, 0, 8, 8]},
    ]
    images = [{"id": 7, "file_name": "val2017/street.jpg"}, {"id": 8, "file_name": "empty.jpg"}]
    file.write_text(json.dumps({"images": images, "annotations": people + others}))
    table = read_boxes(file)
    assert boxes_of(table, "elsewhere/street.jpg").tolist() == [[1, 2, 4, 6, 1], [0, 0, 5, 6, 1]]
    assert len(boxes_of(table, "empty.jpg")) == 0
    for wrong, words in (({"id": 7}, "two images have the id 7"), ({"file_name": "b/street.jpg"}, "called street.jpg")):
        file.write_text(json.dumps({"images": [images[0], {**images[1], **wrong}], "annotations": people}))
        with pytest.raises(ValueError, match=words):
            read_boxes(file)
    file.write_text(json.dumps({"images": images, "annotations": [{"image_id": 99, "bbox": [0, 0, 1, 1]}]}))
    with pytest.raises(BoxError, match="here 99 is wrong"):
        read_boxes(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("3", "must be {file name"),
        ('{"images": [], "annotations": []}', "must be {file name"),
        ('[{"image_id": 3}]', "entry 0 lacks image_id or bbox"),
        ('{"a": [[1, 2, 3]]}', "a: boxes must be rows"),
        ('{"a": [[1, 2, 0, 4]]}', "a: box 0 at 1, 2 has no area: its width is 0"),
        ('{"a": [[1, 2, -5, 4]]}', "its width is -5"),
        ('{"a": [[1, 2, NaN, 4]]}', "a: box 0 is not finite"),
        ('{"a": [["x", 2, 3, 4]]}', "a: boxes must be rows"),
        ('{"a": 5}', "a: boxes must be rows"),
        ('[{"image_id": [3], "bbox": [1, 2, 3, 4]}]', "entry 0 lacks image_id or bbox"),
        (f'{{"a": [[1, 2, 3, 1{"0" * 400}]]}}', "a: boxes must be rows"),
    ],
)
def test_wrong_boxes_files_say_what_is_wrong(text, message, tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(BoxError, match=message):
        read_boxes(path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write(small_network("pose", COCO, (64, 48)), tmp_path_factory.mktemp("weights") / "small.safetensors"))


def test_the_pose_command_draws_and_writes_coco_results(weights, tmp_path, capsys):
    names = ["000000000012.png", "walk.png"]
    for name in names:
        Image.fromarray(paint((60, 50), [person(25, 30, 30)])).save(tmp_path / name)
    (tmp_path / "boxes.json").write_text(json.dumps({names[0]: [[5, 5, 30, 40], [0, 0, 50, 60]], names[1]: []}))
    files = [str(tmp_path / name) for name in names]
    out = tmp_path / "out"
    argv = ["pose", *files, "-m", weights, "-o", str(out), "--boxes", str(tmp_path / "boxes.json"), "--device", "cpu"]
    assert main([*argv, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["people"] for row in answer["images"]] == [2, 0]
    assert sorted(p.name for p in out.iterdir()) == ["000000000012_pose.png", "keypoints.json", "walk_pose.png"]
    entries = json.loads((out / "keypoints.json").read_text())
    assert [e["image_id"] for e in entries] == [12, 12] and len(entries[0]["keypoints"]) == 51
    whole = ["--detector", "none", "--no-flip", "--decode", "quarter"]
    again = ["pose", files[1], "-m", weights, "-o", str(out), *whole]
    assert main(again) == 2 and "already exists: --overwrite replaces results" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    assert "walk.png: 1 person" in capsys.readouterr().out
    assert json.loads((out / "keypoints.json").read_text())[0]["image_id"] == "walk"


def test_the_pose_commands_errors_are_one_line_and_write_nothing(weights, tmp_path, capsys):
    image, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(paint((60, 50), [])).save(image)
    (tmp_path / "boxes.json").write_text('{"other.png": [[1, 2, 3, 4]]}')
    for argv in (
        ["pose", "-m", weights],
        ["pose", str(tmp_path / "missing.png"), "-m", weights],
        ["pose", str(image), "-m", weights, "--boxes", str(tmp_path / "boxes.json")],
        ["pose", str(image), "-m", "scalenet_s1"],
        ["pose", str(image), "-m", "scalenet_p2"],
    ):
        assert main([*argv, "-o", str(out)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("scalenet pose: error: ")
        assert captured.err.count("\n") == 1 and not out.exists()


def test_the_portrait_in_matplotlib(weights, tmp_path, capsys):
    assert main(["pose", "--sample", "-m", weights, "-o", str(tmp_path), "--device", "cpu"]) == 0
    assert cv2.imread(str(tmp_path / "grace_hopper_pose.png")).shape == (600, 512, 3)


def test_a_backbone_without_joints_is_refused():
    net = small_network("pose", LSP, (64, 48))
    net.reset_classifier(0)
    with pytest.raises(ValueError, match="has no head"):
        PoseEstimator(net, device="cpu")


def test_a_damaged_detector_says_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = "ssdlite320_mobilenet_v3_large"
    file = tmp_path / "hub" / "checkpoints" / Path(get_model_weights(name).DEFAULT.url).name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"checkpoints holds of it is damaged"):
        torchvision_detector(name)


def test_a_boxes_file_that_found_nobody(weights, tmp_path, capsys):
    save_image(tmp_path / "a.png", np.zeros((40, 50, 3), np.uint8))
    (tmp_path / "boxes.json").write_text("[]")
    words = ["pose", str(tmp_path / "a.png"), "-m", weights, "--boxes", str(tmp_path / "boxes.json")]
    assert main([*words, "-o", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["people"] == 0


def test_results_can_be_told_apart(estimator, photo):
    one, other = estimator([photo, photo])
    assert one == one and one != other and len({one, other}) == 2


def test_a_joint_beyond_the_images_edge_is_not_seen(monkeypatch):
    estimator = PoseEstimator(SpotNetwork(), "cpu", flip=False, detector=None)
    photo = paint((100, 80), [person(40, 50, 60)])
    decode = HeatmapCodec.decode_sure

    def moved(self, *args):
        joints, sure = decode(self, *args)
        joints[:, 0, 0] -= 30  # out of the crop, which is the image
        return joints, sure

    before = estimator(photo)
    monkeypatch.setattr(HeatmapCodec, "decode_sure", moved)
    after = estimator(photo)
    assert before.keypoints[0, 0, 2] > 0.5 and after.keypoints[0, 0, 0] < 0 == after.keypoints[0, 0, 2]
    assert np.array_equal(after.keypoints[0, 1:], before.keypoints[0, 1:])
    assert after.scores[0] == before.scores[0], "the person's score is the paper's, of all joints"


def test_people_found_where_nobody_is_are_left_out_by_their_expected_similarity(photo):
    network = SpotNetwork(labels=dataclasses.replace(SPOTS, decode="oks"))
    nowhere = [0.0, 0.0, 12.0, 9.0]

    def detector(image):
        return np.array([corners(ALICE), nowhere])

    found = PoseEstimator(network, "cpu", flip=False, detector=detector)
    every = PoseEstimator(network, "cpu", flip=False, detector=detector, person_threshold=0.0)
    everybody = every(photo)
    assert len(everybody) == 2 and everybody.scores[0] > everybody.scores[1]
    np.testing.assert_allclose(everybody.boxes[0], corners(ALICE), atol=1e-4)
    strict = PoseEstimator(network, "cpu", flip=False, detector=detector, person_threshold=1.1)
    assert len(strict(photo)) == 0 and found.person_threshold == 0.35
    assert len(strict(photo, boxes=[nowhere])) == 1, "who was given is answered"
    assert PoseEstimator(SpotNetwork(), "cpu").person_threshold == 0
