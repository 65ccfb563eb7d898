"""Average precision of keypoints by COCO's own evaluator. K joints."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

from ...data.keypoints import KeypointSet, Result
from ...pose.oks import NMS_THRESHOLD, oks_nms
from .cocoeval import run_cocoeval

__all__ = ["METRICS", "NMS_THRESHOLD", "oks_nms", "score_coco"]

METRICS = ("ap", "ap50", "ap75", "apm", "apl", "ar")


def score_coco(
    results: list[Result], data: KeypointSet, image_ids: Iterable[Any] | None = None, sigmas: Sequence[float] = ()
) -> dict[str, float | None]:
    """COCO's keypoint metrics of COCO-form results (:func:`~scalenet.data.keypoints.read_results`).

    Args:
        image_ids: score these images only.
        sigmas: (K,) OKS sigmas; default those of the joints' names.

    Returns:
        ap, ap50, ap75, apm, apl, ar as fractions; None where the images hold nobody of that size.

    Raises:
        DataError: if nobody is labelled, the sigmas do not fit the joints, or pycocotools is missing.
    """
    evaluation = run_cocoeval(results, data, data.images if image_ids is None else image_ids, sigmas)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    stats = evaluation.stats
    return {name: round(float(stats[i]), 10) if stats[i] >= 0 else None for i, name in enumerate(METRICS)}
