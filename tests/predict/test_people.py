"""People found bottom-up as boxes, and looked at again: from an image alone to everybody's joints."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scalenet.archs.arch import SearchSpace
from scalenet.cli import main
from scalenet.data.images import IMAGENET_MEAN, IMAGENET_STD, save_image
from scalenet.data.labels import COCO, CROWDPOSE, Labels
from scalenet.evaluate.metrics.coco import oks_nms
from scalenet.nn.heads import BottomUpOutput
from scalenet.nn.network import ScaleNet
from scalenet.predict import bottomup, topdown
from scalenet.predict.bottomup import BottomUpPoseEstimator
from scalenet.predict.detector import make_detector
from scalenet.predict.people import BottomUpDetector, people_boxes
from scalenet.predict.results import PoseResult
from scalenet.predict.topdown import PoseEstimator

from ..small_networks import small_network, write
from ..small_pose import SPOTS, SpotNetwork, box_of, paint, person
from ..small_video import moving, write_clip

ALICE, BOB = person(60, 90), person(180, 100, 80)


class EveryoneNetwork(ScaleNet):
    """Sees the spots of :class:`SpotNetwork` bottom-up; tags tell the left half of the image from the right one."""

    def __init__(self) -> None:
        arch = SearchSpace("pose", 8, (64, 64), 8, 8, (1, 1, 1), (1, 1)).smallest()
        super().__init__(arch, task="bottomup", num_classes=3, labels=SPOTS)

    def forward(self, x: torch.Tensor) -> BottomUpOutput:
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        coarse, fine = (F.avg_pool2d(x * std + mean, n) for n in (4, 2))
        side = 9.0 * (torch.arange(coarse.shape[3]) >= coarse.shape[3] / 2)
        return BottomUpOutput(coarse, side.expand(coarse.shape), fine)


@pytest.fixture
def everyone() -> BottomUpPoseEstimator:
    return BottomUpPoseEstimator(EveryoneNetwork(), device="cpu", input_size=128)


def people(*joints: dict[str, tuple], labels: Labels = COCO, scores: list[float] | None = None) -> PoseResult:
    """Everybody's joints by name, (x, y) sure or (x, y, score); all others are not seen."""
    keypoints = np.zeros((len(joints), len(labels.names), 3), np.float32)
    for row, named in zip(keypoints, joints, strict=True):
        for name, values in named.items():
            row[labels.names.index(name)] = (*values, 0.9)[:3]
    return PoseResult(keypoints, np.array(scores or [0.5] * len(joints), np.float32), None, labels)


STANDING = {"nose": (100, 50), "left_shoulder": (120, 80), "right_shoulder": (80, 80), "left_ankle": (110, 250)}
FACE = {"left_eye": (310, 100), "right_eye": (300, 100), "nose": (305, 106)}


# -- people as boxes ---------------------------------------------------------------------------------------
def test_a_box_is_the_hull_of_the_sure_joints_with_a_margin():
    found = people_boxes(people({**STANDING, "left_wrist": (390, 20, 0.2)}, scores=[0.25]), (480, 640))
    np.testing.assert_allclose(found, [[80 - 24, 50 - 24, 120 + 24, 250 + 24, 0.25]], rtol=1e-6)


def test_who_shows_only_the_face_gets_room_for_the_upper_body():
    height = 10 / 0.037  # the eyes are ten pixels apart
    expected = [305 - 0.17 * height, 100 - 0.09 * height, 305 + 0.17 * height, 100 + 0.45 * height, 0.5]
    np.testing.assert_allclose(people_boxes(people(FACE), (480, 640)), [expected], rtol=1e-6)
    (cut,) = people_boxes(people(FACE), (180, 320))
    np.testing.assert_allclose(cut[:4], [expected[0], expected[1], 320, 180], rtol=1e-6)
    with_knee = people_boxes(people({**FACE, "left_knee": (305, 150)}), (480, 640))
    np.testing.assert_allclose(with_knee, [[300 - 6, 100 - 6, 310 + 6, 150 + 6, 0.5]], rtol=1e-6)


def test_head_and_shoulders_of_other_joint_sets_tell_the_size_too():
    upper = {"head": (50, 20), "neck": (50, 56), "left_shoulder": (60, 60)}
    (found,) = people_boxes(people(upper, labels=CROWDPOSE), (480, 640))
    assert found[3] == pytest.approx(20 + 0.45 * 36 / 0.18)
    nameless = people({f"joint {i}": (50 + 10 * i, 40) for i in range(3)}, labels=Labels.plain(3, noun="joint"))
    np.testing.assert_allclose(people_boxes(nameless, (100, 100))[0, :4], [47.6, 37.6, 72.4, 42.4], rtol=1e-6)


def test_who_is_hardly_seen_tiny_or_outside_is_left_out():
    two_joints = {"nose": (100, 50), "left_hip": (100, 200), "left_knee": (100, 240, 0.2)}
    tiny = {"left_hip": (50, 50), "left_knee": (50, 60), "left_ankle": (50, 68)}
    outside = {"left_hip": (700, 50), "left_knee": (700, 160), "left_ankle": (700, 268)}
    beside = {name: (x + 20, y) for name, (x, y) in STANDING.items()}
    found = people(two_joints, beside, tiny, outside, STANDING, scores=[0.9, 0.1, 0.8, 0.7, 0.3])
    np.testing.assert_allclose(people_boxes(found, (480, 640))[:, 4], [0.3, 0.1], rtol=1e-6)
    assert len(people_boxes(people(tiny), (100, 100))) == 1, "it is not tiny there"
    assert people_boxes(people(), (480, 640)).shape == (0, 5)


def test_nearly_equal_boxes_are_one():
    moved = {name: (x + 1, y) for name, (x, y) in STANDING.items()}
    (one,) = people_boxes(people(STANDING, moved, scores=[0.3, 0.4]), (480, 640))
    np.testing.assert_allclose(one, [57, 26, 145, 274, 0.4], rtol=1e-6)


# -- the closer look ---------------------------------------------------------------------------------------
def test_everybody_is_found_and_looked_at(everyone):
    estimator = PoseEstimator(SpotNetwork(), device="cpu", flip=False, detector=everyone)
    photo = paint((200, 240), [ALICE, BOB])
    result = estimator(photo)
    by_side = np.argsort(result.keypoints[:, 0, 0])
    np.testing.assert_allclose(result.keypoints[by_side, :, :2], [ALICE[:, :2], BOB[:, :2]], atol=1.5)
    assert (np.diff(result.scores) <= 0).all() and result.labels == SPOTS
    found = BottomUpDetector(everyone)(photo)[:, :4]
    np.testing.assert_allclose(np.sort(result.boxes, 0), np.sort(found, 0), atol=1)
    alone = estimator(photo, [[*box_of(ALICE)[:2], 120, 160]])
    assert len(alone) == 1, "boxes that are given are looked into alone"


def test_where_nobody_is_found_nobody_is_looked_at(everyone):
    network = SpotNetwork()
    estimator = PoseEstimator(network, device="cpu", flip=False, detector=everyone)
    results = estimator([np.zeros((90, 120, 3), np.uint8)] * 2)
    assert [r.keypoints.shape for r in results] == [(0, 3, 3)] * 2 and results[0].boxes.shape == (0, 4)
    assert network.batches == []


def test_the_bottom_up_network_is_loaded_for_the_first_image_without_boxes(everyone, monkeypatch):
    made = []
    monkeypatch.setattr(bottomup, "BottomUpPoseEstimator", lambda *args, **options: made.append(args) or everyone)
    estimator = PoseEstimator(SpotNetwork(), device="cpu", flip=False)
    photo = paint((200, 240), [ALICE])
    estimator([photo, photo], [[[0, 0, 100, 100]], []])
    assert made == []
    assert [len(r) for r in estimator([photo, photo])] == [1, 1] and len(estimator(photo)) == 1
    assert made == [("scalenet_p0_bottomup", torch.device("cpu"))]


def test_near_doubles_of_a_detector_are_suppressed_and_given_boxes_are_not():
    x, y, w, h = box_of(ALICE)
    once, again = [x, y, x + w, y + h, 0.5], [x - 1, y, x + w, y + h + 1, 0.9]
    photo = paint((200, 240), [ALICE, BOB])
    bob = [*box_of(BOB)[:2], 240, 200, 0.7]
    estimator = PoseEstimator(SpotNetwork(), device="cpu", flip=False, detector=lambda image: [once, bob, again])
    found = estimator(photo)
    np.testing.assert_allclose(found.boxes, [again[:4], bob[:4]], rtol=1e-6)
    np.testing.assert_allclose(found.keypoints[0, :, :2], ALICE[:, :2], atol=1.5)
    given = estimator(photo, [once, bob, again])
    np.testing.assert_allclose(given.boxes, [once[:4], bob[:4], again[:4]], rtol=1e-6)


def test_suppression_keeps_the_best():
    joints = np.array([ALICE, BOB, ALICE + np.array([0.5, 0.5, 0])])
    assert oks_nms(joints, np.array([0.2, 0.1, 0.3]), np.full(3, 1e4), np.array(SPOTS.sigmas)) == [2, 1]


def test_people_of_neighbouring_images_run_together(everyone):
    network = SpotNetwork()
    estimator = PoseEstimator(network, device="cpu", flip=False, detector=everyone, batch_size=4)
    two, nobody = paint((200, 240), [ALICE, BOB]), np.zeros((200, 240, 3), np.uint8)
    images, pulled, held = [two, nobody, two, two, nobody, nobody, nobody], [], []
    for number, result in enumerate(estimator.stream(pulled.append(i) or p for i, p in enumerate(images))):
        held.append(len(pulled) - number)
        assert len(result) == (2 if images[number] is two else 0)
    assert len(held) == 7 and max(held) == 4
    assert network.batches == [3, 3, 3, 3, 4, 3, 3, 2], "first passes image by image, the last ones together"


def test_a_first_look_draws_the_boxes_that_the_second_looks_into():
    """A box that holds half of somebody grows to hold them whole."""
    photo, (x, y, w, h) = paint((200, 240), [ALICE]), box_of(ALICE)
    half = [x, y, x + w, y + 0.6 * h, 0.5]
    whole = people_boxes(PoseResult(ALICE[None], np.ones(1), None, SPOTS), photo.shape[:2])[0, :4]
    estimator = PoseEstimator(SpotNetwork(), device="cpu", flip=False, detector=lambda image: [half])
    np.testing.assert_allclose(estimator(photo).boxes, [half[:4]])
    estimator.scored_by_itself = True  # as with the bottom-up detector, whose boxes are hulls of joints
    np.testing.assert_allclose(estimator(photo).boxes, [whole], atol=3)
    estimator.detector = lambda image: []
    assert len(estimator(photo)) == 0


# -- who finds people --------------------------------------------------------------------------------------
def somebody(spec, device, engine, dtype):
    """Stands for the default detector: one box, whatever there is to see."""
    return lambda image: [[1, 2, 30, 40]] * (spec == "bottomup")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {
        task: str(write(small_network(task, labels, (64, 48)), folder / f"{task}.safetensors"))
        for task, labels in (("pose", COCO), ("bottomup", CROWDPOSE))
    }


def test_detectors_are_named_or_given(everyone, weights):
    def own(image):
        return []

    assert make_detector(None) is None and make_detector(own) is own
    assert make_detector(everyone).estimator is everyone
    default = make_detector("bottomup", "cpu")
    assert default.estimator.labels.names == COCO.names and default.estimator is default.estimator
    assert make_detector(f"bottomup:{weights['bottomup']}", "cpu").estimator.input_size == 48


@pytest.mark.parametrize(
    "spec", ["yolo", "bottomup:", "torchvision", "torchvision:", "bottom-up", "", 3, [[0, 0, 1, 1]]]
)
def test_what_is_no_detector_is_told_with_the_choices(spec):
    choices = "choose from bottomup, bottomup:NAME, torchvision:NAME, a .onnx file of YOLOX's form"
    with pytest.raises(ValueError, match=f"^no detector {re.escape(repr(spec))}; {choices}"):
        PoseEstimator(SpotNetwork(), device="cpu", detector=spec)


def test_a_detector_that_is_not_there_is_told_at_once(weights):
    with pytest.raises(LookupError, match="torchvision has no detector 'yolo'"):
        make_detector("torchvision:yolo")
    with pytest.raises(LookupError, match="scalenet_p9"):
        make_detector("bottomup:scalenet_p9_bottomup")
    with pytest.raises(ValueError, match="needs a bottom-up network"):
        make_detector(f"bottomup:{weights['pose']}")
    with pytest.raises(FileNotFoundError, match=r"no detector file nosuch\.onnx"):
        make_detector("nosuch.onnx")


# -- the command -------------------------------------------------------------------------------------------
def test_the_pose_command_finds_people_by_itself(weights, tmp_path, capsys, monkeypatch):
    save_image(tmp_path / "a.png", moving(1, (120, 160))[0])
    given = [
        "pose",
        str(tmp_path / "a.png"),
        "-m",
        weights["pose"],
        "-o",
        str(tmp_path / "out"),
        "--json",
        "--overwrite",
    ]
    with monkeypatch.context() as untrained:  # whose joints draw no boxes
        untrained.setattr(topdown, "FIRST_LOOKS", 0)
        assert main([*given, "--detector", f"bottomup:{weights['bottomup']}", "--no-flip"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["people"] == len(image["boxes"]) >= 1
    assert main([*given, "--detector", "none"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["people"] == 1 and image["boxes"] is None
    monkeypatch.setattr(topdown, "make_detector", somebody)
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["boxes"] == [[1, 2, 30, 40]]


def test_the_pose_command_finds_people_in_a_video_by_itself(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(topdown, "make_detector", somebody)
    clip = write_clip(tmp_path / "clip.mp4", moving(3))
    assert main(["pose", str(clip), "-m", weights["pose"], "-o", str(tmp_path / "out.mp4"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["people"] >= 1
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and all(row["boxes"] == [[1, 2, 30, 40]] for row in rows)
    assert [row["ids"] for row in rows] == [[None], [None], [1]]  # who is seen three times is somebody


@pytest.mark.parametrize("detector, words", [
    ("nosuch.onnx", "no detector file nosuch.onnx"), ("yolo", "no detector 'yolo'; choose from bottomup"),
    ("torchvision:yolo", "torchvision has no detector 'yolo'"), ("bottomup:scalenet_p9", "scalenet_p9"),
    ("bottomup:scalenet_p0", "needs a bottom-up network"),
])  # fmt: skip
def test_a_wrong_detector_is_one_line(weights, tmp_path, capsys, detector, words):
    save_image(tmp_path / "a.png", moving(1)[0])
    out = tmp_path / "out"
    argv = ["pose", str(tmp_path / "a.png"), "-m", weights["pose"], "-o", str(out), "--detector", detector]
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1 and captured.out == "" and not out.exists()
