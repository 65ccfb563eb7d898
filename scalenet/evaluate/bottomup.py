"""A bottom-up network, or a top-down one behind a detector, over a data set: results of everybody found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..data.keypoints import KeypointSet, Result
from ..predict.base import progress
from ..predict.bottomup import BottomUpPoseEstimator
from ..predict.results import PoseResult
from ..predict.topdown import PoseEstimator


def estimate(
    estimator: BottomUpPoseEstimator | PoseEstimator, data: KeypointSet, image_ids: Sequence[Any], bar: bool = True
) -> list[Result]:
    """COCO-form results of everybody found in the images of ``data`` with these ids.

    Args:
        estimator: a bottom-up one, or a top-down one with a detector.
        bar: show progress on a terminal.
    """
    results: list[Result] = []
    starts = range(0, len(image_ids), estimator.batch_size)
    for start in progress(starts, bar=bar):
        ids = image_ids[start : start + estimator.batch_size]
        people = cast(list[PoseResult], estimator([data.pixels(i) for i in ids]))
        for image_id, found in zip(ids, people, strict=True):
            results += found.to_coco(image_id, data.category_id)
    return results
