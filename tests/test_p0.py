"""ScaleNet-P0, the pose network this project ships: offline, small, and right about what anybody can see."""

import json

import torch

import scalenet
from scalenet import cli, table, weights
from scalenet.commands.pose import SAMPLE_BOX, sample_portrait


def test_it_loads_offline_and_is_small():
    (entry,) = [e for e in table.TABLE if e.name == "scalenet_p0"]
    assert entry.is_file and entry.path.stat().st_size <= 4_000_000
    model = scalenet.create_model("scalenet_p0", pretrained=True)
    assert model.num_classes == 14 and model.labels.names[-1] == "head_top" and model.arch.input_size == (192, 144)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values() if v.is_floating_point())
    weights.verify(entry.path, entry.sha256)


def test_the_bottom_up_form_loads_offline_is_small_and_finds_somebody():
    (entry,) = [e for e in table.TABLE if e.name == "scalenet_p0_bottomup"]
    assert entry.is_file and entry.path.stat().st_size <= 4_000_000
    weights.verify(entry.path, entry.sha256)
    estimator = scalenet.BottomUpPoseEstimator("scalenet_p0_bottomup", device="cpu")
    assert estimator.labels.names[12:] == ("head", "neck") and estimator.aligned and estimator.input_size == 512
    people = estimator(sample_portrait())
    assert len(people) >= 1 and people.keypoints.shape[1:] == (14, 3) and people.scores[0] > 0.1


def test_a_portrait_has_its_head_above_its_shoulders():
    result = scalenet.PoseEstimator("scalenet_p0", device="cpu")(sample_portrait(), SAMPLE_BOX)  # she faces us
    (joints,) = result.keypoints
    at = dict(zip(result.labels.names, joints, strict=True))
    assert at["head_top"][1] < at["neck"][1] < max(at["right_shoulder"][1], at["left_shoulder"][1])
    assert at["right_shoulder"][0] < at["neck"][0] < at["left_shoulder"][0]
    assert all(at[name][2] > 0.2 for name in ("head_top", "neck"))


def test_the_demo(capsys, tmp_path):
    assert cli.main(["pose", "--sample", "-m", "scalenet_p0", "-o", str(tmp_path), "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["people"] == 1 and (tmp_path / "grace_hopper_pose.png").is_file()
    (entry,) = json.loads((tmp_path / "keypoints.json").read_text())
    assert len(entry["keypoints"]) == 3 * 14
