"""CrowdPose's metrics against a plain account of its evaluator's rules, and against numbers of another evaluator."""

import json
from pathlib import Path

import numpy as np
import pytest

from scalenet.cli import main
from scalenet.data import DataError
from scalenet.data.keypoints import KeypointSet, read_results
from scalenet.data.labels import CROWDPOSE
from scalenet.evaluate.metrics.crowdpose import score_crowdpose

REAL = Path(__file__).parents[3] / "shared/data/crowdpose/annotations/crowdpose_val_a.json"
VARIANCES = (2 * np.array([79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89, 79, 79]) / 1000) ** 2


def made_up(path: Path, photos: int = 12, crowd_index: bool = True) -> KeypointSet:
    """Images of 0-4 people in CrowdPose's form, without ``area``; one is a crowd, one has no joints."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(1, photos + 1):
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 200, "width": 200})
        if crowd_index:
            images[-1]["crowdIndex"] = [0.1, 0.2, 0.5, 0.8][i % 4]
        for _ in range(int(rng.integers(0, 5))):
            joints = np.column_stack([rng.uniform(0, 200, (14, 2)), rng.integers(0, 3, 14)])
            joints[joints[:, 2] == 0] = 0
            box = [*rng.uniform(0, 80, 2), *rng.uniform(40, 120, 2)]
            person = {"image_id": i, "category_id": 1, "iscrowd": 0, "bbox": box, "keypoints": joints.ravel().tolist()}
            annotations.append({"id": len(annotations) + 1, "num_keypoints": int((joints[:, 2] > 0).sum()), **person})
    annotations[0]["iscrowd"] = 1
    annotations[1] |= {"num_keypoints": 0, "keypoints": [0] * 42}
    category = {"id": 1, "name": "person", "keypoints": list(CROWDPOSE.names), "skeleton": []}
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return KeypointSet(path)


def noisy_results(data: KeypointSet, seed: int = 0) -> list[dict]:
    """Results near the annotations, some missing, some of nobody, in one image more than count."""
    rng = np.random.default_rng(seed)
    results = []
    for a in data.annotations:
        if rng.random() < 0.15:
            continue
        joints = np.array(a["keypoints"], float).reshape(-1, 3)
        size = np.sqrt(a["bbox"][2] * a["bbox"][3])
        joints[:, :2] += rng.normal(0, 1, (14, 2)) * rng.uniform(0, 0.1) * size
        joints[:, 2] = 1
        results.append({"image_id": a["image_id"], "category_id": 1, "keypoints": joints.ravel().tolist(),
                        "score": float(rng.random())})  # fmt: skip
    return results


def similarity(person: dict, keypoints: list[float]) -> float:
    """Mean over labelled joints of exp(-squared distance / variance / area / 2), area 0.53 x box."""
    truth, found = (np.reshape(k, (-1, 3)) for k in (person["keypoints"], keypoints))
    x, y, w, h = person["bbox"]
    if (truth[:, 2] > 0).any():
        offset = (found - truth)[:, :2]
    else:  # distance to the box, doubled on every side
        low, high = np.array([x - w, y - h]), np.array([x + 2 * w, y + 2 * h])
        offset = np.maximum(low - found[:, :2], 0) + np.maximum(found[:, :2] - high, 0)
    values = np.exp(-(offset**2).sum(1) / VARIANCES / (0.53 * w * h) / 2)
    return values[truth[:, 2] > 0].mean() if (truth[:, 2] > 0).any() else values.mean()


def plain_precision(data: KeypointSet, results: list[dict], ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(10, 101) precision and (10,) recall, result by result; -1 where there is nobody."""
    table, recalls = np.full((10, 101), -1.0), np.full(10, -1.0)
    for t, threshold in enumerate(np.linspace(0.5, 0.95, 10)):
        hits, total = [], 0
        for i in ids:
            people = [a for a in data.annotations if a["image_id"] == i]
            people.sort(key=lambda a: bool(a["iscrowd"] or not a["num_keypoints"]))
            ignored = [bool(a["iscrowd"] or not a["num_keypoints"]) for a in people]
            total += len(people) - sum(ignored)
            taken = [False] * len(people)
            for r in sorted((r for r in results if r["image_id"] == i), key=lambda r: -r["score"])[:20]:
                best, chosen = threshold, None
                for n, person in enumerate(people):
                    if taken[n] and not person["iscrowd"]:
                        continue
                    if chosen is not None and not ignored[chosen] and ignored[n]:
                        break
                    value = similarity(person, r["keypoints"])
                    if value >= best:
                        best, chosen = value, n
                if chosen is not None:
                    taken[chosen] = True
                if chosen is None or not ignored[chosen]:
                    hits.append((r["score"], chosen is not None))
        if not total:
            continue
        right = np.array([h for _, h in sorted(hits, key=lambda h: -h[0])], float)
        recall, precision = np.cumsum(right) / total, np.cumsum(right) / np.arange(1, len(right) + 1)
        recalls[t] = recall[-1] if len(recall) else 0
        reached = [precision[recall >= level] for level in np.linspace(0, 1, 101)]
        table[t] = [p.max() if len(p) else 0 for p in reached]
    return table, recalls


def plain_metrics(data: KeypointSet, results: list[dict]) -> dict[str, float]:
    precision, recall = plain_precision(data, results, sorted(data.images))
    metrics = {"ap": precision.mean(), "ap50": precision[0].mean(), "ap75": precision[5].mean(), "ar": recall.mean()}
    bounds = {"ap_easy": (-1, 0.2), "ap_medium": (0.2, 0.8), "ap_hard": (0.8, 2)}
    for name, (low, high) in bounds.items():
        part = [i for i, image in data.images.items() if low <= image["crowdIndex"] < high]
        metrics[name] = plain_precision(data, results, part)[0].mean()
    return metrics


@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_equal_the_plain_account(tmp_path, seed):
    data = made_up(tmp_path / "crowd.json")
    results = noisy_results(data, seed)
    results += [{**results[0], "score": 0.01 * n} for n in range(25)]
    before = json.dumps(results)
    metrics = score_crowdpose(read_results(results, data), data)
    assert json.dumps(results) == before
    assert metrics == pytest.approx(plain_metrics(data, results), abs=1e-6)
    assert 0.1 < metrics["ap"] < 1


@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/crowdpose")
def test_metrics_equal_another_evaluator_on_real_annotations():
    """The numbers are those of xtcocotools 1.14.3 (keypoints_crowd, use_area=False) for these results."""
    data = KeypointSet(REAL)
    rng = np.random.default_rng(0)
    results = []
    for a in data.annotations:
        if rng.random() < 0.15:
            continue
        joints = np.array(a["keypoints"], float).reshape(-1, 3)
        joints[:, :2] += rng.normal(0, 1, (14, 2)) * rng.uniform(0, 0.1) * np.sqrt(a["bbox"][2] * a["bbox"][3])
        results.append({"image_id": a["image_id"], "keypoints": joints.ravel().tolist(), "score": float(rng.random())})
    metrics = score_crowdpose(read_results(results, data), data)
    exact = {"ap": 0.4316991490977505, "ap50": 0.772655486982981, "ap75": 0.38104916185540627, "ar": 0.5898300362217886}
    for name, value in exact.items():
        assert metrics[name] == pytest.approx(value, abs=1e-6)
    for name, value in {"ap_easy": 0.4055, "ap_medium": 0.4354, "ap_hard": 0.4493}.items():
        assert metrics[name] == pytest.approx(value, abs=1e-4)


def test_perfect_and_empty_results(tmp_path):
    data = made_up(tmp_path / "crowd.json")
    labelled = [a for a in data.annotations if a["num_keypoints"]]
    perfect = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 1.0} for a in labelled]
    assert score_crowdpose(perfect, data)["ap"] == pytest.approx(1)
    assert set(score_crowdpose([], data).values()) == {0.0}


def test_a_part_without_images_is_minus_one(tmp_path):
    data = made_up(tmp_path / "crowd.json")
    ids = [i for i, image in data.images.items() if image["crowdIndex"] == 0.5]
    metrics = score_crowdpose(noisy_results(data), data, ids)
    assert metrics["ap_easy"] is metrics["ap_hard"] is None
    assert metrics["ap_medium"] == pytest.approx(metrics["ap"])


def test_images_without_crowd_index_are_refused(tmp_path):
    with pytest.raises(DataError, match="no crowdIndex"):
        score_crowdpose([], made_up(tmp_path / "crowd.json", crowd_index=False))


def test_score_command(tmp_path, capsys):
    data = made_up(tmp_path / "crowd.json")
    (tmp_path / "results.json").write_text(json.dumps(noisy_results(data)))
    command = ["score", str(tmp_path / "results.json"), "--dataset", "crowdpose", "--annotations", str(data.path)]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["ap_hard"] == pytest.approx(score_crowdpose(noisy_results(data), data)["ap_hard"])
    (tmp_path / "results.json").write_text('[{"image_id": 99, "keypoints": [], "score": 1}]')
    assert main(command) == 2
    assert "entry 0" in capsys.readouterr().err
