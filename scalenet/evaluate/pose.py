"""A pose network over a data set, top-down or bottom-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..fold import fold
from ..network import ScaleNet
from ..predict.bottomup import BottomUpPoseEstimator
from ..predict.boxes import read_boxes
from ..predict.loading import load_model, name_of
from ..predict.topdown import PoseEstimator
from . import DataError, bottomup, topdown
from .coco import NMS_THRESHOLD
from .keypoint_data import KeypointSet, Result, read_results, write_json
from .scores import scorer

Device = str | torch.device | None
Estimate = Callable[[KeypointSet, Sequence[Any]], list[Result]]


def evaluate(
    name: str | Path | ScaleNet,
    dataset: str,
    root: str | Path,
    split: str = "val",
    *,
    checkpoint: str | Path | None = None,
    limit: int | None = None,
    flip: bool | None = None,
    device: Device = None,
    batch_size: int | None = None,
    boxes: str | Path | None = None,
    decode: str | None = None,
    scales: Sequence[float] | None = None,
    results: str | Path | None = None,
) -> dict[str, Any]:
    """Figures of a pose network over a split, and what they hold for.

    Args:
        name, checkpoint: as in :func:`scalenet.predict.loading.load_model`.
        dataset: "coco" (ap, ap50, ap75, apm, apl, ar), "crowdpose" (ap, ap50, ap75, ar, ap_easy, ap_medium, ap_hard)
            or, for people in boxes, "lsp" (pck, per_joint, joints).
        root, split: ``annotations/person_keypoints_SPLIT.json`` and ``SPLIT/`` pictures, ``annotations/SPLIT.json`` and
            ``images/SPLIT/``, or ``json/crowdpose_SPLIT.json`` and ``images/``.
        limit: only the first pictures.
        flip: mirror test; default yes.
        boxes: top-down: a detector's result file; default the annotations' boxes.
        decode: top-down: "dark" (default) or "quarter".
        scales: bottom-up: factors of the input size to look at; default 1.
        results: also write the results to this file, in the form COCO's server takes.

    Returns:
        model, dataset, split, flip, input_size, images, people, seconds; top-down boxes (source), decode and oks_nms,
        bottom-up scales; and the figures as fractions (none for a split without annotations, such as test-dev).

    Raises:
        DataError: for folders or files that are not what was looked for, joints that are not the network's, or an
            option that the network has no use for.
    """
    network = fold(load_model(name, checkpoint))
    bottom_up = network.task == "bottomup"
    _check_options(bottom_up, dataset, boxes=boxes, decode=decode, scales=scales)
    figures, data = scorer(dataset), KeypointSet.open(root, split)
    data.check_model(network.labels.names if network.labels else (), network.num_classes)
    if not (bottom_up or boxes or data.annotations):
        raise DataError(f"{data.path} labels nobody: give a detector's boxes")
    image_ids = sorted(data.images)[:limit]
    if bottom_up:
        estimate, settings = _bottom_up(network, device, flip, batch_size, scales or (1.0,))
    else:
        estimate, settings = _top_down(network, device, flip, batch_size, boxes, decode or "dark")
    if flip and not settings["flip"]:
        raise DataError("the network names no left and right joints: evaluate it with --no-flip")
    started = time.perf_counter()
    found = estimate(data, image_ids)
    seconds = round(time.perf_counter() - started, 2)
    if results:
        write_json(results, found)
    return {
        "model": name_of(name), "dataset": dataset, "split": split, **settings,
        "images": len(image_ids), "people": len(found), "seconds": seconds,
        **(figures(read_results(found, data), data, image_ids) if data.annotations else {}),
    }  # fmt: skip


def _bottom_up(
    network: ScaleNet, device: Device, flip: bool | None, batch_size: int | None, scales: Sequence[float]
) -> tuple[Estimate, dict[str, Any]]:
    estimator = BottomUpPoseEstimator(network, device, flip is not False, scales, batch_size or 1)
    settings = {"flip": estimator.flip, "scales": list(scales), "input_size": estimator.input_size}
    return partial(bottomup.estimate, estimator), settings


def _top_down(
    network: ScaleNet, device: Device, flip: bool | None, batch_size: int | None, boxes: str | Path | None, decode: str
) -> tuple[Estimate, dict[str, Any]]:
    estimator = PoseEstimator(network, device, flip is not False, decode, batch_size or 32)
    settings = {
        "flip": estimator.flip, "boxes": Path(boxes).name if boxes else "ground truth", "decode": decode,
        "oks_nms": NMS_THRESHOLD, "input_size": list(estimator.input_size),
    }  # fmt: skip
    return partial(topdown.estimate, estimator, boxes=read_boxes(boxes) if boxes else None), settings


def _check_options(bottom_up: bool, dataset: str, **given: object) -> None:
    kind = "bottom-up" if bottom_up else "top-down"
    for option in ("boxes", "decode") if bottom_up else ("scales",):
        if given[option]:
            raise DataError(f"{option} has no meaning for a {kind} network: leave --{option} out")
    if bottom_up and dataset == "lsp":
        raise DataError("a bottom-up network is scored on coco or crowdpose, not on lsp")
