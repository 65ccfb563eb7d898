"""Average precision of keypoints by COCO's own evaluator; suppression of near doubles. N people, K joints."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..predict.pose_result import oks
from . import DataError
from .keypoint_data import KeypointSet, Result, sigmas_of

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
    """
    if data.labels is None or not data.annotations:
        raise DataError(f"{data.path} labels nobody: nothing can be scored with it")
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DataError("COCO figures need pycocotools: pip install pycocotools") from None
    sigmas = np.asarray(sigmas if len(sigmas) else sigmas_of(data.labels), np.float64)
    if len(sigmas) != len(data.labels.names):
        raise DataError(f"{len(data.labels.names)} joints need as many sigmas, got {len(sigmas)}")
    if not results:
        return dict.fromkeys(FIGURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        truth = COCO()
        truth.dataset = {"images": list(data.images.values()), "annotations": data.annotations,
                         "categories": [{"id": data.category_id, "name": "person"}]}  # fmt: skip
        truth.createIndex()
        found = truth.loadRes([{"category_id": data.category_id, **r} for r in results])
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.params.imgIds = sorted(data.images if image_ids is None else set(image_ids))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    return {name: round(float(stats[i]), 10) if stats[i] >= 0 else None for i, name in enumerate(FIGURES)}
