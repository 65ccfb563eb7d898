"""Recall of the labelled people, for data in which not everybody in an image is labelled. K joints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...data.keypoints import KeypointSet, Result, sigmas_of
from ...pose.oks import oks


def score_recall(
    results: list[Result],
    data: KeypointSet,
    image_ids: Iterable[Any] | None = None,
    threshold: float = 0.5,
) -> dict[str, float | None]:
    """Share of the labelled people whom some result of their image matches. Other results are no errors.

    Args:
        results: as :func:`~scalenet.data.keypoints.read_results` gives them.
        image_ids: score these images only.
        threshold: least OKS of a match, 0..1; OKS is COCO's, at the annotation's area, over its labelled joints.

    Returns:
        "recall", None where nobody is labelled, and "people", how many are.

    Raises:
        DataError: if a joint's OKS sigma is not known.
    """
    wanted = set(data.images if image_ids is None else image_ids)
    found: dict[Any, list[list[float]]] = {}
    for result in results:
        found.setdefault(result["image_id"], []).append(result["keypoints"])
    people = [a for a in data.annotations if a["image_id"] in wanted and a["num_keypoints"] > 0 and not a["iscrowd"]]
    matched = 0
    for person in people:
        joints = np.reshape(person["keypoints"], (-1, 3))
        others = np.reshape(found.get(person["image_id"], []), (-1, *joints.shape)).astype(float)
        areas = np.full(len(others), float(person["area"]))
        counted = np.broadcast_to(joints[:, 2] > 0, others.shape[:2])
        alike = oks(joints, others, person["area"], areas, sigmas_of(data.labels), counted)
        matched += bool((alike >= threshold).any())
    return {"recall": matched / len(people) if people else None, "people": len(people)}
