"""PCK@0.2 on LSP: a joint is right within 0.2 of the torso (left shoulder to right hip).

Where a torso end is unlabelled, half the longer side of the box stands for the torso. N people, K joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...data import DataError
from ...data.keypoints import KeypointSet, Result
from ...data.labels import Labels

TORSO = ("left_shoulder", "right_hip")
THRESHOLD = 0.2


def torso_sizes(keypoints: np.ndarray, boxes: np.ndarray, labels: Labels) -> np.ndarray:
    """(N,) lengths in pixels that joint errors are divided by, from (N, K, 3) keypoints and (N, 4) x1, y1, x2, y2."""
    ends = [keypoints[:, labels.names.index(name)] for name in TORSO]
    length = np.hypot(*(ends[0] - ends[1])[:, :2].T)
    labelled = (ends[0][:, 2] > 0) & (ends[1][:, 2] > 0)
    half_side = (boxes[:, 2:] - boxes[:, :2]).max(1) / 2
    return np.where(labelled, length, half_side)


def pck(
    predicted: np.ndarray, keypoints: np.ndarray, boxes: np.ndarray, labels: Labels, threshold: float = THRESHOLD,
    joints: Sequence[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Percentage of correct keypoints as a fraction: correct / labelled joints, over all and per joint.

    Args:
        predicted: (N, K, 2 or more) x, y in pixels; NaN for a person who was not found.
        keypoints, boxes: the labelled people, (N, K, 3) and (N, 4) x1, y1, x2, y2.
        threshold: largest error of a correct joint, in torso lengths.
        joints: names of those compared; default all.

    Returns:
        "pck", "per_joint" by name (None where a joint is never labelled or not compared), "joints" (how many are
        labelled and compared).
    """
    compared = np.array([joints is None or name in joints for name in labels.names])
    labelled = (keypoints[..., 2] > 0) & compared
    error = np.hypot(*np.moveaxis(predicted[..., :2] - keypoints[..., :2], -1, 0))
    right = labelled & (error <= threshold * torso_sizes(keypoints, boxes, labels)[:, None])
    counts, hits = labelled.sum(0), right.sum(0)
    per_joint = {name: float(h / c) if c else None for name, h, c in zip(labels.names, hits, counts, strict=True)}
    return {"pck": float(hits.sum() / max(1, counts.sum())), "per_joint": per_joint, "joints": int(counts.sum())}


def score_pck(
    results: list[Result], data: KeypointSet, image_ids: Iterable[Any] | None = None,
    joints: Sequence[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """PCK of COCO-form results: the best-scored result of an image answers for its one person; none is all wrong.

    Args:
        image_ids: score these images only.
        joints: names of those that the results have, if not all of the file's; only these are compared.

    Returns:
        What :func:`pck` does, and with ``joints`` "joints_compared", their names.

    Raises:
        DataError: if the joints do not include the torso's ends, or an image has more than one person.
    """
    if data.labels is None or not set(TORSO) <= set(data.labels.names):
        raise DataError(f"{data.path}: PCK needs the joints {' and '.join(TORSO)}")
    people = data.people(image_ids)
    compared = [joints is None or name in joints for name in data.labels.names]
    if not (people.keypoints[:, compared, 2] > 0).any():
        raise DataError(f"{data.path} labels no joints in these images" + (" that are compared" if joints else ""))
    if len(set(people.image_ids.tolist())) < len(people.image_ids):
        raise DataError(f"{data.path} has several people in an image: PCK is for one (score it as coco)")
    best: dict[Any, Result] = {}
    for result in results:
        if result["image_id"] not in best or result["score"] > best[result["image_id"]]["score"]:
            best[result["image_id"]] = result
    predicted = np.full((*people.keypoints.shape[:2], 2), np.nan)
    for row, image_id in zip(predicted, people.image_ids.tolist(), strict=True):
        if image_id in best:
            row[:] = np.reshape(best[image_id]["keypoints"], (-1, 3))[:, :2]
    metrics = pck(predicted, people.keypoints, people.boxes, data.labels, joints=joints)
    return metrics if joints is None else {**metrics, "joints_compared": list(joints)}
