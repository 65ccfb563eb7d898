"""A bottom-up network over a data set: COCO's figures, or CrowdPose's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..fold import fold
from ..network import ScaleNet
from ..predict.bottomup import BottomUpPoseEstimator
from ..predict.loading import load_model, name_of
from . import DataError
from .coco import score_coco
from .crowdpose import score_crowdpose
from .keypoint_data import KeypointSet, Result, read_results, write_json

SCORES = {"coco": score_coco, "crowdpose": score_crowdpose}


def estimate(
    estimator: BottomUpPoseEstimator, data: KeypointSet, image_ids: Sequence[Any], bar: bool = True
) -> list[Result]:
    """COCO-form results of everybody found in the pictures.

    Args:
        bar: show progress on a terminal.
    """
    results: list[Result] = []
    starts = range(0, len(image_ids), estimator.batch_size)
    for start in tqdm(starts, desc="pictures", disable=None if bar else True):
        ids = image_ids[start : start + estimator.batch_size]
        for image_id, found in zip(ids, estimator([data.picture(i) for i in ids]), strict=True):
            results += found.to_coco(image_id, data.category_id)
    return results


def evaluate(
    name: str | Path | ScaleNet,
    dataset: str,
    root: str | Path,
    split: str = "val",
    *,
    checkpoint: str | Path | None = None,
    limit: int | None = None,
    flip: bool | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    scales: Sequence[float] = (1.0,),
    results: str | Path | None = None,
) -> dict[str, Any]:
    """Figures of a bottom-up network over a split, and what they hold for.

    Args:
        name, checkpoint: as in :func:`scalenet.predict.loading.load_model`.
        dataset: "coco" (ap, ap50, ap75, apm, apl, ar) or "crowdpose" (ap, ap50, ap75, ar, ap_easy, ap_medium, ap_hard).
        root, split: ``annotations/person_keypoints_SPLIT.json`` and ``SPLIT/`` pictures, or
            ``json/crowdpose_SPLIT.json`` and ``images/``.
        limit: only the first pictures.
        flip: mirror test; default yes.
        scales: factors of the input size to look at.
        results: also write the results to this file, in the form COCO's server takes.

    Returns:
        model, dataset, split, flip, scales, input_size, images, people, seconds, and the figures as fractions (none
        for a split without annotations).

    Raises:
        DataError: for folders or files that are not what was looked for, or joints that are not the network's.
    """
    if dataset not in SCORES:
        raise DataError(f"a bottom-up network is scored on {' or '.join(SCORES)}, not on {dataset}")
    data = KeypointSet.open(root, split)
    network = fold(load_model(name, checkpoint))
    data.check_model(network.labels.names if network.labels else (), network.num_classes)
    estimator = BottomUpPoseEstimator(network, device, flip is not False, scales, batch_size or 1)
    if flip and not estimator.flip:
        raise DataError("the network names no left and right joints: evaluate it with --no-flip")
    image_ids = sorted(data.images)[:limit]
    started = time.perf_counter()
    found = estimate(estimator, data, image_ids)
    seconds = round(time.perf_counter() - started, 2)
    if results:
        write_json(results, found)
    figures = SCORES[dataset](read_results(found, data), data, image_ids) if data.annotations else {}
    return {
        "model": name_of(name), "dataset": dataset, "split": split,
        "flip": estimator.flip, "scales": list(estimator.scales), "input_size": estimator.input_size,
        "images": len(image_ids), "people": len(found), "seconds": seconds, **figures,
    }  # fmt: skip
