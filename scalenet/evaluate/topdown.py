"""A top-down network over a data set: results of every person.

N people, K joints. The paper's protocol: person score = box score x mean of the joint scores above 0.2, then OKS
suppression at 0.9 within an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..data import DataError
from ..data.boxes import Boxes, boxes_of
from ..data.keypoints import Joints, KeypointSet, Result, sigmas_of
from ..data.transforms import crop_regions
from ..predict.base import progress
from ..predict.results import PoseResult
from ..predict.topdown import PoseEstimator
from .metrics.coco import oks_nms

IMAGES_A_TIME = 64


def estimate(
    estimator: PoseEstimator, data: KeypointSet, image_ids: Sequence[Any], boxes: Boxes | None = None, bar: bool = True,
    joints: Joints | None = None,
) -> list[Result]:  # fmt: skip
    """COCO-form results of every person box of the images, in the network's joints, after OKS suppression.

    Args:
        boxes: a detector's (N, 5) x1, y1, x2, y2, score by image id or file name; None for the annotations' own.
        bar: show progress on a terminal.
        joints: pairs (index in the file, index in the network) of those that OKS suppression compares; default all.
    """
    sigmas = sigmas_of(data.labels or estimator.labels)
    pairs = np.array(joints or [(i, i) for i in range(len(sigmas))])
    sigmas, own = sigmas[pairs[:, 0]], pairs[:, 1]
    results: list[Result] = []
    rows = _boxes_by_image(data, image_ids, boxes)
    starts = range(0, len(image_ids), IMAGES_A_TIME)
    for start in progress(starts, unit=f"x{IMAGES_A_TIME}", bar=bar):
        ids = image_ids[start : start + IMAGES_A_TIME]
        found = cast(list[PoseResult], estimator([data.pixels(i) for i in ids], [rows[i] for i in ids]))
        for image_id, result in zip(ids, found, strict=True):
            areas = crop_regions(rows[image_id], estimator.input_size)[:, 2:].prod(1)
            kept = oks_nms(result.keypoints[:, own], result.scores, areas, sigmas)
            people = result.to_coco(image_id, data.category_id)
            results += [people[i] for i in kept]
    return results


def _boxes_by_image(data: KeypointSet, image_ids: Sequence[Any], boxes: Boxes | None) -> dict[Any, np.ndarray]:
    if boxes is None:
        people = data.people(image_ids)
        return {i: people.boxes[people.image_ids == i] for i in image_ids}
    empty, rows = np.zeros((0, 5)), {}
    for i in image_ids:
        mine = boxes.get(i)
        mine = boxes_of(boxes, data.images[i]["file_name"]) if mine is None else mine
        rows[i] = empty if mine is None else mine
    if not any(len(r) for r in rows.values()):
        raise DataError(f"the boxes file names none of the images of {data.path}")
    return rows
