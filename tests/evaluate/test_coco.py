"""COCO's metrics: truth against itself, perturbations whose similarity is known, suppression, whole evaluations."""

import json
from pathlib import Path

import numpy as np
import pytest

from scalenet.cli import main
from scalenet.data import DataError
from scalenet.data.keypoints import KeypointSet, read_results, sigmas_of
from scalenet.data.labels import COCO, COCO_ALIGNED, CROWDPOSE, LSP, Labels
from scalenet.evaluate.metrics.coco import oks_nms, score_coco
from scalenet.evaluate.pose import evaluate
from scalenet.evaluate.scores import score
from scalenet.pose.oks import oks

from ..small_networks import small_network, write
from ..small_pose import SPOTS, SpotNetwork, coco_form, person, results_of

SHARED = Path(__file__).parents[3] / "shared" / "data"
PEOPLE = [[person(70, 90), person(170, 110, 80)], [person(120, 100, 140)], [person(60, 120, 90)]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return coco_form(tmp_path_factory.mktemp("spots") / "data", PEOPLE).parents[1]


@pytest.fixture(scope="module")
def spots(root):
    return KeypointSet.open(root, "val")


def moved(data: KeypointSet, similarity: float) -> list[dict]:
    """The truth with every joint moved right so far that each person's similarity is ``similarity``."""
    sigmas = sigmas_of(data.labels)
    results = []
    for a in data.annotations:
        if a["iscrowd"] or not any(a["keypoints"][2::3]):
            continue
        joints = np.reshape(a["keypoints"], (-1, 3)).astype(float)
        joints[:, 0] += np.sqrt(-2 * np.log(similarity) * (2 * sigmas) ** 2 * a["area"])
        results.append({"image_id": a["image_id"], "keypoints": joints.ravel().tolist(), "score": 1.0})
    return results


def test_truth_against_itself(spots):
    metrics = score_coco(results_of({"annotations": spots.annotations}), spots)
    assert metrics == {"ap": 1, "ap50": 1, "ap75": 1, "apm": 1, "apl": 1, "ar": 1}


@pytest.mark.parametrize(("similarity", "ap"), [(0.97, 1.0), (0.72, 0.5), (0.52, 0.1), (0.49, 0.0)])
def test_known_perturbations(spots, similarity, ap):
    """Ten thresholds, 0.50 to 0.95: the figure is the share of them below the similarity."""
    metrics = score_coco(moved(spots, similarity), spots)
    assert metrics["ap"] == pytest.approx(ap) == metrics["ar"]
    assert metrics["ap50"] == float(similarity > 0.5) and metrics["ap75"] == float(similarity > 0.75)


def test_half_of_the_people_found(spots):
    results = results_of({"annotations": spots.annotations[:2]})
    metrics = score_coco(results, spots)
    assert metrics["ar"] == 0.5 and 0.5 <= metrics["ap"] < 0.52
    assert score_coco(results, spots, image_ids=[1])["ap"] == 1
    assert score_coco([], spots) == dict.fromkeys(("ap", "ap50", "ap75", "apm", "apl", "ar"), 0.0)
    assert score_coco([], spots, image_ids=[]) == dict.fromkeys(("ap", "ap50", "ap75", "apm", "apl", "ar"))


def test_no_medium_people_is_none_and_not_minus_one(tmp_path):
    data = KeypointSet(coco_form(tmp_path / "large", [[person(110, 100, 140)]]))
    metrics = score_coco(results_of({"annotations": data.annotations}), data)
    assert metrics["apm"] is None and metrics["apl"] == 1
    assert score_coco([], data)["apm"] is None and score_coco([], data)["apl"] == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not here")
@pytest.mark.parametrize(("name", "split"), [("coco_mini", "train2017"), ("lsp", "val"), ("crowdpose", "val_a")])
def test_real_annotations_against_themselves(name, split):
    data = KeypointSet.open(SHARED / name, split)
    assert data.labels in (COCO, LSP, CROWDPOSE)
    results = results_of({"annotations": data.annotations})
    if name == "coco_mini":
        assert all(v == 1 for v in score_coco(results, data).values())
        assert score_coco(moved(data, 0.72), data)["ap50"] > 0.98
        assert score_coco(moved(data, 0.72), data)["ap"] == pytest.approx(0.5, abs=0.03)
    else:
        assert score_coco(results, data)["ap"] > 0.98  # CrowdPose has more people in an image than COCO counts


def test_similarity_by_hand():
    a, b = np.zeros((2, 3)), np.zeros((1, 2, 3))
    b[0, 0, 0] = 10
    found = oks(a, b, 400, np.array([600]), np.array([0.1, 0.2]))
    assert found[0] == pytest.approx((np.exp(-100 / (2 * 500 * 0.04)) + 1) / 2)


def test_near_doubles_are_suppressed():
    one = np.ones((1, 3, 3)) * [50, 50, 1]
    people = np.concatenate([one, one + np.array([0.5, 0, 0]), one + np.array([40, 0, 0])])
    areas, sigmas = np.full(3, 2500.0), np.full(3, 0.08)
    assert oks_nms(people, np.array([0.5, 0.9, 0.1]), areas, sigmas) == [1, 2]
    assert oks_nms(people, np.array([0.5, 0.9, 0.1]), areas, sigmas, threshold=1.0) == [1, 0, 2]
    assert oks_nms(people[:0], areas[:0], areas[:0], sigmas) == []


# -- sigmas and skeletons of one's own -----------------------------------------------------------------------
def test_sigmas_by_joint_name():
    mixed = Labels("mixed", ("head_top", "head", "nose", "left_hip"))
    assert sigmas_of(mixed).tolist() == [0.079, 0.079, 0.026, 0.107]
    with pytest.raises(DataError, match="no OKS sigma is known for joint 'tail' of dog"):
        sigmas_of(Labels("dog", ("nose", "tail")))


def test_own_joints_need_sigmas_once(tmp_path):
    data = KeypointSet(coco_form(tmp_path / "own", PEOPLE, sigmas=False))
    assert data.labels.skeleton == SPOTS.skeleton and data.labels.flip_pairs == ((0, 1),)
    results = results_of({"annotations": data.annotations})
    with pytest.raises(DataError, match="no OKS sigma is known for joint 'left_a'"):
        score_coco(results, data)
    assert score_coco(results, data, sigmas=(0.1, 0.1, 0.1))["ap"] == 1
    with pytest.raises(DataError, match="3 joints need as many sigmas, got 2"):
        score_coco(results, data, sigmas=(0.1, 0.1))


# -- anybody's results ---------------------------------------------------------------------------------------
GOOD = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 9, "score": 0.5}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (5, "entry 1 lacks image_id, keypoints or score"),
        ({"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}, "entry 1 lacks"),
        ({**GOOD, "image_id": 99}, "entry 1 is of image 99, which"),
        ({**GOOD, "keypoints": [1.0] * 51}, "does not have the 9 keypoint numbers"),
        ({**GOOD, "score": float("nan")}, "no finite number"),
        ({**GOOD, "keypoints": [*[1.0] * 8, "x"]}, "no finite number"),
        ({**GOOD, "keypoints": ["1"] * 9}, "no finite number"),
        ({**GOOD, "score": 10**400}, "no finite number"),
        ({**GOOD, "image_id": [1]}, "which"),
    ],
)
def test_wrong_results_say_which_entry(spots, tmp_path, entry, message):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([GOOD, entry]))
    with pytest.raises(DataError, match=message):
        read_results(path, spots)


def test_score_command(root, spots, tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results_of({"annotations": spots.annotations})))
    argv = ["score", str(path), "--dataset", "coco", "--annotations", str(spots.path), "--json"]
    assert main(argv) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["ap"] == 1 and metrics["images"] == 3 and metrics["people"] == 4
    path.write_text("{}")
    assert main(argv) == 2 and "must be a list of COCO results" in capsys.readouterr().err


# -- whole evaluations ---------------------------------------------------------------------------------------
def test_evaluating_finds_everybody_and_says_how(root, tmp_path):
    out = tmp_path / "results.json"
    metrics = evaluate(SpotNetwork(), "coco", root, "val", flip=False, device="cpu", results=out)
    assert metrics["ap"] > 0.85 and metrics["ap50"] == 1 and metrics["images"] == 3 and metrics["people"] == 4
    protocol = {k: metrics[k] for k in ("boxes", "flip", "decode", "oks_nms", "input_size", "dataset", "split")}
    assert protocol == {"boxes": "ground truth", "flip": False, "decode": "dark", "oks_nms": 0.9,
                        "input_size": [64, 48], "dataset": "coco", "split": "val"}  # fmt: skip
    entries = json.loads(out.read_text())
    assert [set(e) for e in entries] == [{"image_id", "category_id", "keypoints", "score"}] * 4
    assert score(out, "coco", root / "annotations" / "person_keypoints_val.json")["ap"] == metrics["ap"]
    quarter = evaluate(SpotNetwork(), "coco", root, "val", flip=False, device="cpu", decode="quarter", limit=1)
    assert quarter["decode"] == "quarter" and quarter["images"] == 1 and quarter["people"] == 2
    assert json.dumps(metrics, allow_nan=False)


def test_a_detectors_boxes_weigh_the_scores(root, spots, tmp_path):
    boxes, out = tmp_path / "detector.json", tmp_path / "results.json"
    detections = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.25} for a in spots.annotations
    ]
    double = {**detections[0], "bbox": [v + 0.5 for v in detections[0]["bbox"]], "score": 0.2}
    boxes.write_text(json.dumps([*detections, double, {**detections[0], "category_id": 18}]))
    metrics = evaluate(SpotNetwork(), "coco", root, "val", flip=False, device="cpu", boxes=boxes, results=out)
    assert metrics["boxes"] == "detector.json" and metrics["people"] == 4  # the double is suppressed
    assert metrics["ap"] > 0.85 and max(e["score"] for e in json.loads(out.read_text())) <= 0.25
    boxes.write_text(json.dumps([{**detections[0], "image_id": 77}]))
    with pytest.raises(DataError, match="names none of the images"):
        evaluate(SpotNetwork(), "coco", root, "val", flip=False, device="cpu", boxes=boxes)


def test_a_split_without_annotations_gets_results_alone(root, tmp_path):
    """COCO's test-dev: image names, no people; a detector's boxes, results for the server."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "test2017").symlink_to(root / "val")
    images = json.loads((root / "annotations" / "person_keypoints_val.json").read_text())["images"]
    (tmp_path / "annotations" / "image_info_test-dev2017.json").write_text(
        json.dumps({"images": images, "categories": [{"id": 1, "name": "person"}]})
    )
    boxes, out = tmp_path / "boxes.json", tmp_path / "out.json"
    boxes.write_text(json.dumps([{"image_id": 2, "category_id": 1, "bbox": [60, 30, 120, 140], "score": 0.5}]))
    metrics = evaluate(
        SpotNetwork(), "coco", tmp_path, "test-dev2017", flip=False, device="cpu", boxes=boxes, results=out
    )
    assert "ap" not in metrics and len(json.loads(out.read_text())) == 1
    with pytest.raises(DataError, match="labels nobody: give a detector's boxes"):
        evaluate(SpotNetwork(), "coco", tmp_path, "test-dev2017", flip=False, device="cpu")


def test_another_data_sets_file_is_refused_in_words(root):
    with pytest.raises(DataError, match=r"has 3 joints of .*left_a.*the network gives 17 joints \(nose"):
        evaluate(small_network("pose", COCO, (64, 48)), "coco", root, "val", device="cpu")
    with pytest.raises(DataError, match=r"no split 'test' under .*: looked for person_keypoints_test.json, test.json"):
        evaluate(SpotNetwork(), "coco", root, "test", device="cpu")
    with pytest.raises(DataError, match="evaluate it with --no-flip"):
        evaluate(SpotNetwork(labels=Labels("", SPOTS.names)), "coco", root, "val", device="cpu", flip=True)


def stanford_form(folder, images, labels=SPOTS):
    """``images/val`` beside ``annotations/val.json``; returns the folder."""
    path = coco_form(folder, images, labels)
    path.rename(path.with_name("val.json"))
    (folder / "images").mkdir()
    (folder / "val").rename(folder / "images" / "val")
    return folder


def test_stanford40_has_cocos_metrics(root, tmp_path, capsys):
    settings = {"flip": False, "device": "cpu"}
    own = evaluate(SpotNetwork(), "stanford40", stanford_form(tmp_path / "spots", PEOPLE), "val", **settings)
    coco = evaluate(SpotNetwork(), "coco", root, "val", **settings)
    assert own["ap"] > 0.9 and all(own[name] == coco[name] for name in ("ap", "ap50", "ap75", "apm", "apl", "ar"))
    people = np.random.default_rng(0).uniform(20, 180, (2, 17, 3))
    people[..., 2] = 2
    folder = stanford_form(tmp_path / "stanford", [[p] for p in people], COCO)
    aligned = str(write(small_network("pose", COCO_ALIGNED, (64, 48)), tmp_path / "aligned.safetensors"))
    argv = ["--dataset", "stanford40", "--root", str(folder), "--device", "cpu", "--limit", "1"]
    assert main(["evaluate", aligned, *argv, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["dataset"] == "stanford40" and metrics["images"] == 1 and 0 <= metrics["ap"] <= 1
    lsp = str(write(small_network("pose", LSP, (64, 48)), tmp_path / "lsp.safetensors"))
    assert main(["evaluate", lsp, *argv]) == 2
    error = capsys.readouterr().err
    assert f"17 joints of coco ({', '.join(COCO.names)})" in error and error.count("\n") == 1
    assert f"the network gives 14 joints ({', '.join(LSP.names)})" in error


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not here")
def test_real_coco_the_whole_way():
    net = small_network("pose", COCO, (64, 48))
    metrics = evaluate(net, "coco", SHARED / "coco_mini", "train2017", device="cpu", limit=12)
    assert metrics["images"] == 12 and metrics["people"] > 4 and 0 <= metrics["ap"] < 0.2 and metrics["flip"]
