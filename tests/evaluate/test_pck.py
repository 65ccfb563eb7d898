"""PCK@0.2 as LSP's README defines it, by hand and on LSP."""

import json
from pathlib import Path

import numpy as np
import pytest

from scalenet.cli import main
from scalenet.data import DataError
from scalenet.data.keypoints import KeypointSet
from scalenet.data.labels import COCO, LSP, Labels
from scalenet.evaluate.metrics.pck import pck, score_pck, torso_sizes
from scalenet.evaluate.pose import evaluate

from ..small_networks import small_network, write
from ..small_pose import SPOTS, SpotNetwork, coco_form, person, results_of

SHARED = Path(__file__).parents[3] / "shared" / "data" / "lsp"
BACKBONE = Labels("backbone", ("right_hip", "neck", "left_shoulder"))  # red, green and blue in images
SHOULDER, HIP = LSP.names.index("left_shoulder"), LSP.names.index("right_hip")


def lsp_people(n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Fully labelled people whose torso is 50 pixels (3, 4, 5), and their corner boxes, 120 by 200."""
    keypoints = np.random.default_rng(0).uniform(0, 100, (n, 14, 3))
    keypoints[..., 2] = 2
    keypoints[:, HIP, :2] = keypoints[:, SHOULDER, :2] + [30, 40]
    return keypoints, np.tile([10.0, 20, 130, 220], (n, 1))


def test_torso_or_half_the_longer_side():
    keypoints, boxes = lsp_people()
    keypoints[1, SHOULDER, 2] = 0
    keypoints[2, HIP, 2] = 0
    assert torso_sizes(keypoints, boxes, LSP).tolist() == [50, 100, 100]


def test_a_joint_is_right_within_a_fifth_of_the_torso():
    keypoints, boxes = lsp_people()
    near, far = keypoints.copy(), keypoints.copy()
    near[..., 0] += 9.99
    far[..., 0] += 10.01
    assert pck(keypoints, keypoints, boxes, LSP)["pck"] == 1
    exact = np.zeros((1, 14, 3))
    exact[..., 2], exact[:, HIP, :2] = 2, [30, 40]
    moved = exact + np.array([6, 8, 0])
    assert pck(moved, exact, boxes[:1], LSP)["pck"] == 1, "just a fifth is right"
    assert pck(near, keypoints, boxes, LSP)["pck"] == 1 and pck(far, keypoints, boxes, LSP)["pck"] == 0


def test_only_labelled_joints_count_and_over_the_whole_split():
    keypoints, boxes = lsp_people()
    keypoints[0, 1:, 2] = 0  # one joint left, and without a torso
    keypoints[:, 13, 2] = 0
    predicted = keypoints.copy()
    predicted[0] += 15  # 21 pixels off: wrong by a fifth of half the side (20)
    metrics = pck(predicted, keypoints, boxes, LSP)
    assert metrics["joints"] == 27 and metrics["pck"] == pytest.approx(26 / 27)
    assert metrics["per_joint"]["head_top"] is None and metrics["per_joint"]["right_ankle"] == pytest.approx(2 / 3)


def test_somebody_not_found_is_wrong():
    keypoints, boxes = lsp_people(2)
    predicted = keypoints.copy()
    predicted[1] = np.nan
    assert pck(predicted, keypoints, boxes, LSP)["pck"] == 0.5


def test_only_some_joints_are_compared_in_torsos_of_all():
    keypoints, boxes = lsp_people()
    predicted = keypoints.copy()
    predicted[:, [HIP, 13], :2] += 500
    metrics = pck(predicted, keypoints, boxes, LSP, joints=["right_hip", "left_wrist"])
    assert metrics["pck"] == 0.5 and metrics["joints"] == 6
    assert {k: v for k, v in metrics["per_joint"].items() if v is not None} == {"right_hip": 0, "left_wrist": 1}


def test_the_best_scored_result_answers(tmp_path):
    people = lsp_people(2)[0] * [1, 1, 1] + [20, 20, 0]
    data = KeypointSet(coco_form(tmp_path / "lsp", [[p] for p in people], LSP, size=(8, 8)))
    assert data.labels is LSP
    good = results_of({"annotations": data.annotations}, 0.9)
    bad = [{**r, "score": 0.5, "keypoints": [0.0] * 42} for r in good]
    assert score_pck(bad + good, data)["pck"] == 1 and score_pck(good[:1] + bad, data)["pck"] == 0.5
    assert score_pck(good[:1], data)["pck"] == 0.5 and score_pck(good[:1], data, [1])["pck"] == 1


def test_what_pck_is_not_for(tmp_path):
    crowd = KeypointSet(coco_form(tmp_path / "crowd", [[p for p in lsp_people(2)[0]]], LSP, size=(8, 8)))
    with pytest.raises(DataError, match="several people in an image: PCK is for one"):
        score_pck([], crowd)
    with pytest.raises(DataError, match="PCK needs the joints left_shoulder and right_hip"):
        score_pck([], KeypointSet(coco_form(tmp_path / "spots", [[person(70, 90)]], SPOTS)))
    neck = lsp_people(1)[0]
    neck[:, :12, 2] = 0
    with pytest.raises(DataError, match="labels no joints in these images that are compared"):
        score_pck([], KeypointSet(coco_form(tmp_path / "neck", [neck], LSP, size=(8, 8))), joints=["left_wrist"])


def test_evaluate_command_on_lsp_form(tmp_path, capsys):
    people = lsp_people(3)[0]
    root = coco_form(tmp_path / "data", [[p] for p in people], LSP, size=(120, 120)).parents[1]
    weights = str(write(small_network("pose", LSP, (64, 48)), tmp_path / "w.safetensors"))
    argv = ["evaluate", weights, "--dataset", "lsp", "--root", str(root), "--split", "val", "--device", "cpu"]
    assert main([*argv, "--limit", "2", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["images"] == 2 and 0 <= metrics["pck"] <= 1 and metrics["flip"] is True
    assert set(metrics["per_joint"]) == set(LSP.names) and metrics["joints"] == 28
    assert main([*argv, "--no-flip"]) == 0 and "flip" in capsys.readouterr().out
    assert "joints_compared" not in metrics


class OtherOrder(SpotNetwork):
    """Blue, red and green spots: the backbone's joints in another order, and a nose where its neck is."""

    def __init__(self):
        super().__init__(labels=Labels("own", ("left_shoulder", "right_hip", "nose"), convention="aligned"))

    def forward(self, x):
        return super().forward(x)[:, [2, 0, 1]]


def test_a_network_of_other_joints_is_scored_on_those_it_shares_by_name(tmp_path):
    root = coco_form(tmp_path / "data", [[person(70, 90)], [person(130, 110)]], BACKBONE, sigmas=False).parents[1]
    settings = {"split": "val", "flip": False, "device": "cpu"}
    metrics = evaluate(OtherOrder(), "lsp", root, **settings)
    assert metrics["pck"] == 1 and metrics["joints"] == 4
    assert metrics["per_joint"] == {"right_hip": 1, "neck": None, "left_shoulder": 1}
    assert metrics["joints_compared"] == ["right_hip", "left_shoulder"]
    boxes, out = tmp_path / "boxes.json", tmp_path / "out.json"
    boxes.write_text(json.dumps({"000001.jpg": [[35, 42, 70, 88], [35, 42, 70, 88]], "000002.jpg": [[95, 62, 70, 88]]}))
    metrics = evaluate(OtherOrder(), "lsp", root, **settings, boxes=boxes, results=out)
    assert metrics["people"] == 2, "doubles are told by the joints that are shared"
    shoulder, hip = np.reshape(json.loads(out.read_text())[0]["keypoints"], (3, 3))[:2]
    np.testing.assert_allclose([shoulder[:2], hip[:2]], [[70, 90 - 100 / 3], [50, 90]], atol=1)
    with pytest.raises(DataError, match="the network gives 3 joints"):
        evaluate(OtherOrder(), "coco", root, **settings)


def test_a_coco_network_on_lsp_and_networks_that_share_too_little(tmp_path, capsys):
    root = coco_form(tmp_path / "data", [[p] for p in lsp_people(2)[0]], LSP, size=(120, 120)).parents[1]
    coco = str(write(small_network("pose", COCO, (64, 48)), tmp_path / "coco.safetensors"))
    argv = ["--dataset", "lsp", "--root", str(root), "--device", "cpu"]
    assert main(["evaluate", coco, *argv, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["joints"] == 24 and metrics["joints_compared"] == list(LSP.names[:12]) and metrics["flip"] is True
    assert [n for n, v in metrics["per_joint"].items() if v is None] == ["neck", "head_top"]
    assert main(["evaluate", coco, *argv]) == 0
    assert "\n12 of 14 joints compared (neck, head_top are not the network's)" in capsys.readouterr().out
    for names in (("paw", "tail"), ("right_hip", "left_wrist")):
        other = str(write(small_network("pose", Labels("own", names), (64, 48)), tmp_path / "own.safetensors"))
        assert main(["evaluate", other, *argv]) == 2
        error = capsys.readouterr().err
        assert f"14 joints of lsp ({', '.join(LSP.names)}), the network gives 2 joints ({', '.join(names)})" in error
        assert "both must have left_shoulder and right_hip" in error and error.count("\n") == 1
    street = str(write(small_network(), tmp_path / "street.safetensors"))
    assert main(["evaluate", street, *argv]) == 2
    assert f"lsp is for pose, {street} is a segmentation network" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data set is not here")
def test_lsp_against_itself_and_moved():
    data = KeypointSet.open(SHARED, "val")
    truth = results_of({"annotations": data.annotations})
    metrics = score_pck(truth, data)
    assert metrics["pck"] == 1 and metrics["joints"] == 12321
    people = data.people()
    sizes = torso_sizes(people.keypoints, people.boxes, LSP)
    for share, expected in ((0.19, 1.0), (0.21, 0.0)):
        for result, size in zip(truth, sizes, strict=True):
            joints = np.reshape(result["keypoints"], (14, 3)).astype(float)
            result["moved"] = (joints + np.array([share * size, 0, 0])).ravel().tolist()
        moved = [{**r, "keypoints": r["moved"]} for r in truth]
        assert score_pck(moved, data)["pck"] == pytest.approx(expected, abs=0.001)
    metrics = evaluate(small_network("pose", LSP, (64, 48)), "lsp", SHARED, "val", device="cpu", limit=8)
    assert metrics["images"] == 8 and metrics["pck"] < 0.3
