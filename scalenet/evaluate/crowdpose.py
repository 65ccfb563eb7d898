"""CrowdPose's figures by pycocotools: what CrowdPose's own evaluator changes is the data it is given, so the data is
changed here and the evaluator is COCO's.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import DataError
from .keypoint_data import KeypointSet, Result, sigmas_of

FIGURES = ("ap", "ap50", "ap75", "ar", "ap_easy", "ap_medium", "ap_hard")
EASY_BELOW, HARD_FROM = 0.2, 0.8  # crowdIndex; the evaluator's numbers (the paper's text says 0.1)
AREA_OF_BOX = 0.53
MAX_PEOPLE = 20


def score_crowdpose(
    results: list[Result], data: KeypointSet, image_ids: Iterable[Any] | None = None, sigmas: Sequence[float] = ()
) -> dict[str, float | None]:
    """CrowdPose's figures of COCO-form results (:func:`~scalenet.evaluate.keypoint_data.read_results`).

    Args:
        image_ids: score these pictures only.
        sigmas: (K,) OKS sigmas; default those of the joints' names.

    Returns:
        ap, ap50, ap75, ar over all pictures, and ap_easy, ap_medium, ap_hard over those of a crowdIndex below 0.2,
        below 0.8, and from there on. As in CrowdPose's evaluator these three are plain means over all precision
        cells; None (there: -1) where the pictures hold nobody.

    Raises:
        DataError: if nobody is labelled, a picture has no crowdIndex, or pycocotools is missing.
    """
    if data.labels is None or not data.annotations:
        raise DataError(f"{data.path} labels nobody: nothing can be scored with it")
    ids = sorted(data.images if image_ids is None else set(image_ids))
    parts = _parts(data, ids)
    sigmas = np.asarray(sigmas if len(sigmas) else sigmas_of(data.labels), np.float64)
    if len(sigmas) != len(data.labels.names):
        raise DataError(f"{len(data.labels.names)} joints need as many sigmas, got {len(sigmas)}")
    precision, recall = _evaluate(results, data, ids, sigmas)
    figures = {"ap": _mean(precision), "ap50": _mean(precision[0]), "ap75": _mean(precision[5]), "ar": _mean(recall)}
    for name, part in parts.items():
        figures[name] = float(_evaluate(results, data, part, sigmas)[0].mean())
    return {name: figure if figure >= 0 else None for name, figure in figures.items()}


def _parts(data: KeypointSet, ids: Sequence[Any]) -> dict[str, list[Any]]:
    """Pictures by how crowded they are."""
    parts: dict[str, list[Any]] = {"ap_easy": [], "ap_medium": [], "ap_hard": []}
    for i in ids:
        index = data.images[i].get("crowdIndex")
        if not isinstance(index, (int, float)):
            raise DataError(
                f"{data.path}: picture {i} has no crowdIndex; CrowdPose's figures need it (or score as coco)"
            )
        parts["ap_easy" if index < EASY_BELOW else "ap_medium" if index < HARD_FROM else "ap_hard"].append(i)
    return parts


def _mean(cells: np.ndarray) -> float:
    """Mean of what was measured; -1 where nothing was."""
    measured = cells[cells > -1]
    return float(measured.mean()) if measured.size else -1.0


def _evaluate(
    results: list[Result], data: KeypointSet, ids: Sequence[Any], sigmas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10 OKS thresholds, 101 recalls) and highest recall (10); -1 where there is nobody."""
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DataError("CrowdPose's figures need pycocotools: pip install pycocotools") from None
    wanted = set(ids)
    people = [{**a, "area": a["bbox"][2] * a["bbox"][3] * AREA_OF_BOX} for a in data.annotations]
    found = [_detection(number, r, data.category_id) for number, r in enumerate(results, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        tables = [_table(data, wanted, rows) for rows in (people, found)]
        evaluation = COCOeval(*tables, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.params.maxDets = [MAX_PEOPLE]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, 0, 0, 0], evaluation.eval["recall"][:, 0, 0, 0]


def _detection(number: int, result: Result, category: int) -> dict[str, Any]:
    x, y = result["keypoints"][0::3], result["keypoints"][1::3]
    return {
        "id": number, "image_id": result["image_id"], "category_id": category, "keypoints": result["keypoints"],
        "score": result["score"], "area": (max(x) - min(x)) * (max(y) - min(y)),
    }  # fmt: skip


def _table(data: KeypointSet, ids: set[Any], rows: list[dict[str, Any]]) -> Any:
    """pycocotools' table of the annotations or results of these pictures; there may be none."""
    from pycocotools.coco import COCO

    table = COCO()
    table.dataset = {
        "images": [data.images[i] for i in sorted(ids)], "categories": [{"id": data.category_id, "name": "person"}],
        "annotations": [row for row in rows if row["image_id"] in ids],
    }  # fmt: skip
    table.createIndex()
    return table
