"""pycocotools' keypoint evaluator over annotations and results in memory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...data import DataError
from ...data.keypoints import KeypointSet, Result, sigmas_of

Row = dict[str, Any]


def run_cocoeval(
    results: list[Result],
    data: KeypointSet,
    image_ids: Iterable[Any],
    sigmas: Sequence[float] = (),
    people: list[Row] | None = None,
    sizes: int = 3,
) -> Any:
    """pycocotools' ``COCOeval`` of these images, evaluated and accumulated.

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
        raise DataError("keypoint metrics need pycocotools: pip install pycocotools") from None
    spread = np.asarray(sigmas if len(sigmas) else sigmas_of(data.labels), np.float64)
    if len(spread) != len(data.labels.names):
        raise DataError(f"{len(data.labels.names)} joints need as many sigmas, got {len(spread)}")
    numbers = {image_id: number for number, image_id in enumerate(sorted(set(image_ids)), 1)}
    found = [_detection(r) for r in results]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        tables = [_table(numbers, rows) for rows in (data.annotations if people is None else people, found)]
        evaluation = COCOeval(*tables, "keypoints")
        evaluation.params.kpt_oks_sigmas = spread
        evaluation.params.areaRng = evaluation.params.areaRng[:sizes]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:sizes]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _detection(result: Result) -> Row:
    x, y = result["keypoints"][0::3], result["keypoints"][1::3]
    area = (max(x) - min(x)) * (max(y) - min(y))
    return {**{key: result[key] for key in ("image_id", "keypoints", "score")}, "area": area}


def _table(numbers: Mapping[Any, int], rows: list[Row]) -> Any:
    """pycocotools' table of the annotations or results of these images; there may be none.

    Everything is numbered anew from 1: to pycocotools an id of 0 is nobody's, and of two like ids one is lost.
    """
    from pycocotools.coco import COCO

    table = COCO()
    own = [row for row in rows if row["image_id"] in numbers]
    table.dataset = {
        "images": [{"id": number} for number in numbers.values()], "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {**row, "id": i, "image_id": numbers[row["image_id"]], "category_id": 1} for i, row in enumerate(own, 1)
        ],
    }  # fmt: skip
    table.createIndex()
    return table
