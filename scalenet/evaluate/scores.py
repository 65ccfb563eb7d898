"""The metrics of each keypoint data set, for results of any origin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data import DataError
from ..data.keypoints import KeypointSet, read_results
from .metrics.coco import score_coco
from .metrics.crowdpose import score_crowdpose
from .metrics.pck import score_pck

SCORES: dict[str, Callable[..., dict[str, Any]]] = {
    "coco": score_coco, "lsp": score_pck, "crowdpose": score_crowdpose, "stanford40": score_coco,
}  # fmt: skip


def scorer(dataset: str) -> Callable[..., dict[str, Any]]:
    """The function that computes a data set's metrics from (results, :class:`KeypointSet`, image ids).

    Raises:
        DataError: for an unknown data set.
    """
    if dataset not in SCORES:
        raise DataError(f"keypoints are scored as those of {', '.join(SCORES)}, not of {dataset}")
    return SCORES[dataset]


def score(results: str | Path, dataset: str, annotations: str | Path) -> dict[str, Any]:
    """Score a file of keypoint results in COCO's format, for any joints that ``annotations`` define.

    Args:
        results: JSON in COCO's results format.
        dataset: "coco" or "stanford40" (ap, ap50, ap75, apm, apl, ar), "lsp" (pck, per_joint, joints) or "crowdpose"
            (ap, ap50, ap75, ar, ap_easy, ap_medium, ap_hard).
        annotations: JSON in COCO's annotation format.

    Returns:
        These metrics by name, as fractions.

    Raises:
        FileNotFoundError, DataError: for a file that is missing, malformed, or for other images or joints.
    """
    metrics = scorer(dataset)
    data = KeypointSet(annotations)
    entries = read_results(results, data)
    return {
        "dataset": dataset, "annotations": str(annotations), "images": len(data.images), "people": len(entries),
        **metrics(entries, data),
    }  # fmt: skip
