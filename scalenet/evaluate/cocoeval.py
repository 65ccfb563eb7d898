"""pycocotools' keypoint evaluator over annotations and results in memory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import DataError
from .keypoint_data import KeypointSet, Result, sigmas_of

Row = dict[str, Any]


def run_cocoeval(
    results: list[Result],
    data: KeypointSet,
    image_ids: Iterable[Any],
    sigmas: Sequence[float] = (),
    people: list[Row] | None = None,
    sizes: int = 3,
) -> Any:
    """pycocotools' ``COCOeval`` of these pictures, evaluated and accumulated.

    Args:
        sigmas: (K,) OKS sigmas; default those of the joints' names.
        people: the annotations to count; default those of ``data``.
        sizes: how many of COCO's size ranges (all, medium, large) to look at.

    Raises:
        DataError: if nobody is labelled, the sigmas do not fit the joints, or pycocotools is missing.
    """
    if data.labels is None or not data.annotations:
        raise DataError(f"{data.path} labels nobody: nothing can be scored with it")
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DataError("figures of keypoints need pycocotools: pip install pycocotools") from None
    sigmas = np.asarray(sigmas if len(sigmas) else sigmas_of(data.labels), np.float64)
    if len(sigmas) != len(data.labels.names):
        raise DataError(f"{len(data.labels.names)} joints need as many sigmas, got {len(sigmas)}")
    wanted = set(image_ids)
    found = [_detection(number, r, data.category_id) for number, r in enumerate(results, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        tables = [_table(data, wanted, rows) for rows in (data.annotations if people is None else people, found)]
        evaluation = COCOeval(*tables, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.params.areaRng = evaluation.params.areaRng[:sizes]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:sizes]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _detection(number: int, result: Result, category: int) -> Row:
    x, y = result["keypoints"][0::3], result["keypoints"][1::3]
    return {
        "id": number, "image_id": result["image_id"], "category_id": category, "keypoints": result["keypoints"],
        "score": result["score"], "area": (max(x) - min(x)) * (max(y) - min(y)),
    }  # fmt: skip


def _table(data: KeypointSet, ids: set[Any], rows: list[Row]) -> Any:
    """pycocotools' table of the annotations or results of these pictures; there may be none."""
    from pycocotools.coco import COCO

    table = COCO()
    table.dataset = {
        "images": [data.images[i] for i in sorted(ids)], "categories": [{"id": data.category_id, "name": "person"}],
        "annotations": [row for row in rows if row["image_id"] in ids],
    }  # fmt: skip
    table.createIndex()
    return table
