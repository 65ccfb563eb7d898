"""Average precision of keypoints by COCO's own evaluator; suppression of near doubles. N people, K joints."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..predict.pose_result import oks
from .cocoeval import run_cocoeval
from .keypoint_data import KeypointSet, Result

FIGURES = ("ap", "ap50", "ap75", "apm", "apl", "ar")
NMS_THRESHOLD = 0.9


def oks_nms(
    keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, threshold: float = NMS_THRESHOLD
) -> list[int]:
    """Indices of the people kept, best first: nobody is more like a better-scored one than ``threshold``."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(int(first))
        order = order[oks(keypoints[first], keypoints[order], areas[first], areas[order], sigmas) <= threshold]
    return kept


def score_coco(
    results: list[Result], data: KeypointSet, image_ids: Iterable[Any] | None = None, sigmas: Sequence[float] = ()
) -> dict[str, float | None]:
    """COCO's keypoint figures of COCO-form results (:func:`~scalenet.evaluate.keypoint_data.read_results`).

    Args:
        image_ids: score these pictures only.
        sigmas: (K,) OKS sigmas; default those of the joints' names.

    Returns:
        ap, ap50, ap75, apm, apl, ar as fractions; None where the pictures hold nobody of that size.

    Raises:
        DataError: if nobody is labelled, the sigmas do not fit the joints, or pycocotools is missing.
    """
    evaluation = run_cocoeval(results, data, data.images if image_ids is None else image_ids, sigmas)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    stats = evaluation.stats
    return {name: round(float(stats[i]), 10) if stats[i] >= 0 else None for i, name in enumerate(FIGURES)}
