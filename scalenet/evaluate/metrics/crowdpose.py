"""CrowdPose's metrics by pycocotools.

CrowdPose's own evaluator differs from COCO's in the data it is given: here that is changed, the evaluator is COCO's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...data import DataError
from ...data.annotations import AREA_OF_BOX
from ...data.keypoints import KeypointSet, Result
from .cocoeval import run_cocoeval

METRICS = ("ap", "ap50", "ap75", "ar", "ap_easy", "ap_medium", "ap_hard")
EASY_BELOW, HARD_FROM = 0.2, 0.8  # crowdIndex; the evaluator's numbers (the paper's text says 0.1)


def score_crowdpose(
    results: list[Result], data: KeypointSet, image_ids: Iterable[Any] | None = None, sigmas: Sequence[float] = ()
) -> dict[str, float | None]:
    """CrowdPose's metrics of COCO-form results (:func:`~scalenet.data.keypoints.read_results`).

    Args:
        image_ids: score these images only.
        sigmas: (K,) OKS sigmas; default those of the joints' names.

    Returns:
        ap, ap50, ap75, ar over all images, and ap_easy, ap_medium, ap_hard over those of a crowdIndex below 0.2,
        below 0.8, and from there on. As in CrowdPose's evaluator these three are plain means over all precision
        cells; None (there: -1) where the images hold nobody.

    Raises:
        DataError: if nobody is labelled, an image has no crowdIndex, or pycocotools is missing.
    """
    ids = sorted(data.images if image_ids is None else set(image_ids))
    parts = _parts(data, ids)
    people = [{**a, "area": a["bbox"][2] * a["bbox"][3] * AREA_OF_BOX or a["area"]} for a in data.annotations]

    def cells(part: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Precision (10 OKS thresholds, 101 recalls) and highest recall (10); -1 where there is nobody."""
        table = run_cocoeval(results, data, part, sigmas, people, sizes=1).eval
        return table["precision"][:, :, 0, 0, 0], table["recall"][:, 0, 0, 0]

    precision, recall = cells(ids)
    metrics = {"ap": _mean(precision), "ap50": _mean(precision[0]), "ap75": _mean(precision[5]), "ar": _mean(recall)}
    metrics |= {name: float(cells(part)[0].mean()) for name, part in parts.items()}
    return {name: metric if metric >= 0 else None for name, metric in metrics.items()}


def _parts(data: KeypointSet, ids: Sequence[Any]) -> dict[str, list[Any]]:
    """Images by how crowded they are."""
    parts: dict[str, list[Any]] = {"ap_easy": [], "ap_medium": [], "ap_hard": []}
    for i in ids:
        index = data.images[i].get("crowdIndex")
        if not isinstance(index, (int, float)):
            raise DataError(f"{data.path}: image {i} has no crowdIndex; CrowdPose's metrics need it (or score as coco)")
        parts["ap_easy" if index < EASY_BELOW else "ap_medium" if index < HARD_FROM else "ap_hard"].append(i)
    return parts


def _mean(cells: np.ndarray) -> float:
    """Mean of what was measured; -1 where nothing was."""
    measured = cells[cells > -1]
    return float(measured.mean()) if measured.size else -1.0
