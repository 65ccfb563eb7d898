"""ScaleNet-P0, the pose networks this project ships: offline, small, and right about what anybody can see."""

import json

import numpy as np
import pytest
import torch

import scalenet
from scalenet import cli
from scalenet.data.labels import COCO_ALIGNED
from scalenet.data.samples import sample_portrait
from scalenet.models import checkpoint, pretrained

# Corners. The portrait ends at the chest, the person does not: a network that learned from whole people is told where
# the rest would be.
WHOLE_BOX = [[-150, 0, 660, 1300]]
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
UNSEEN = ("left_knee", "right_knee", "left_ankle", "right_ankle")  # the portrait ends at the chest


def by_name(result):
    return dict(zip(result.labels.names, result.keypoints[0], strict=True))


@pytest.mark.parametrize("name, size", [("scalenet_p0", (256, 192)), ("scalenet_p0_bottomup", (512, 512))])
def test_they_load_offline_and_are_small(name, size):
    (entry,) = [e for e in pretrained.TABLE if e.name == name]
    assert entry.is_file and entry.path.stat().st_size <= 4_000_000 and entry.input_size == size
    checkpoint.verify(entry.path, entry.sha256)
    model = scalenet.create_model(f"{name}.coco", pretrained=True)
    assert model.num_classes == 17 and model.labels == COCO_ALIGNED and model.pretrained_cfg["input_size"] == (3, *size)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values() if v.is_floating_point())


def check_the_portrait(joints):
    """She faces us: what is her left is on the right."""
    nose, left_eye, right_eye, left_ear, right_ear = (joints[name] for name in FACE)
    assert right_ear[0] < right_eye[0] < nose[0] < left_eye[0] < left_ear[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(joints["left_shoulder"][1], joints["right_shoulder"][1])
    assert joints["right_shoulder"][0] < right_ear[0] and left_ear[0] < joints["left_shoulder"][0]
    assert all(joints[name][2] > 0.2 for name in FACE)


def test_a_portrait_has_its_face_above_its_shoulders_and_no_legs():
    result = scalenet.PoseEstimator("scalenet_p0", device="cpu")(sample_portrait(), WHOLE_BOX)
    joints = by_name(result)
    check_the_portrait(joints)
    assert all(joints[name][2] < 0.2 for name in UNSEEN), "a limb that is not in the image is not drawn"


def test_everyone_is_found_without_boxes():
    result = scalenet.PoseEstimator("scalenet_p0", device="cpu")(sample_portrait())
    assert len(result) >= 1 and result.boxes.shape == (len(result), 4)
    check_the_portrait(by_name(result))


def test_bottom_up_finds_the_face_of_a_portrait():
    estimator = scalenet.BottomUpPoseEstimator("scalenet_p0_bottomup", device="cpu")
    assert estimator.aligned and estimator.input_size == 512
    people = estimator(sample_portrait())
    assert len(people) >= 1 and people.keypoints.shape[1:] == (17, 3)
    joints = by_name(people)
    assert joints["right_eye"][0] < joints["nose"][0] < joints["left_eye"][0]


def test_smaller_crops_serve_too():
    small = scalenet.PoseEstimator("scalenet_p0", device="cpu", input_size=(192, 144))
    large = scalenet.PoseEstimator("scalenet_p0", device="cpu")
    a, b = (by_name(estimator(sample_portrait(), WHOLE_BOX)) for estimator in (small, large))
    assert all(np.hypot(*(a[name] - b[name])[:2]) < 60 for name in FACE)


def test_the_demo(capsys, tmp_path):
    assert cli.main(["pose", "--sample", "-m", "scalenet_p0", "-o", str(tmp_path), "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["people"] == 1 and (tmp_path / "grace_hopper_pose.png").is_file()
    (entry,) = json.loads((tmp_path / "keypoints.json").read_text())
    assert len(entry["keypoints"]) == 3 * 17
