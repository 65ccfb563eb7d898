"""A pose network over a data set, top-down or bottom-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import DataError
from ..data.boxes import read_boxes
from ..data.keypoints import Joints, KeypointSet, Result, read_results, write_json
from ..labels import map_keypoints
from ..models.factory import load_model, name_of
from ..network import ScaleNet
from ..predict.bottomup import BottomUpPoseEstimator
from ..predict.topdown import PoseEstimator
from . import bottomup, topdown
from .metrics.coco import NMS_THRESHOLD
from .metrics.pck import TORSO
from .scores import scorer

ENOUGH = {"lsp": TORSO}  # data sets that score a network of other joints on those it shares, if these are among them
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
    engine: str = "torch",
    dtype: str | None = None,
    boxes: str | Path | None = None,
    detector: str | Path | None = None,
    input_size: tuple[int, int] | None = None,
    decode: str | None = None,
    scales: Sequence[float] | None = None,
    results: str | Path | None = None,
) -> dict[str, Any]:
    """Metrics of a pose network over a split, and what they hold for.

    Args:
        name, checkpoint: as in :func:`scalenet.models.factory.load_model`.
        dataset: "coco" or "stanford40" (ap, ap50, ap75, apm, apl, ar), "crowdpose" (ap, ap50, ap75, ar, ap_easy,
            ap_medium, ap_hard) or, for people in boxes, "lsp" (pck, per_joint, joints). A network's joints must be
            those of the file; for "lsp" it is enough if the torso's ends are among those shared: then these alone
            are compared, and joints_compared names them.
        root, split: ``annotations/person_keypoints_SPLIT.json`` and ``SPLIT/`` images, ``annotations/SPLIT.json`` and
            ``images/SPLIT/``, or ``json/crowdpose_SPLIT.json`` and ``images/``.
        limit: only the first images.
        flip: mirror test; default yes.
        engine, dtype: as in :class:`~scalenet.predict.base.Predictor`.
        boxes: top-down: a detector's result file; default the annotations' boxes.
        detector: top-down: who finds people instead, as in :func:`~scalenet.predict.detector.make_detector`.
        input_size: top-down: (H, W) of the crops; default the network's.
        decode: top-down: "oks", "dark" or "quarter"; default the network's, as in PoseEstimator.
        scales: bottom-up: factors of the input size to look at; default 1.
        results: also write the results to this file, in the form COCO's server takes and in the network's joints.

    Returns:
        model, dataset, split, flip, input_size, images, people, seconds; top-down boxes (source), decode and oks_nms,
        bottom-up scales; and the metrics as fractions (none for a split without annotations, such as test-dev).

    Raises:
        DataError: for folders or files that are not what was looked for, joints that are not the network's, an option
            that the network has no use for, or a network that is not for pose.
    """
    network = load_model(name, checkpoint)
    if not network.spec.people:
        raise DataError(f"{dataset} is for pose, {name_of(name)} is a segmentation network")
    bottom_up = not network.spec.boxed
    top_down_only = {"boxes": boxes, "detector": detector, "input_size": input_size, "decode": decode}
    _check_options(bottom_up, top_down_only, scales)
    metrics, data = scorer(dataset), KeypointSet.open(root, split)
    names = network.labels.names if network.labels else ()
    joints = data.match(names, network.num_classes, ENOUGH.get(dataset, ()))
    if not (bottom_up or boxes or detector or data.annotations):
        raise DataError(f"{data.path} labels nobody: give a detector's boxes")
    if not (bottom_up or boxes or detector or len(data.people().boxes)):
        raise DataError(f"nobody in {data.path} has labelled joints and a box with an area: give a detector's boxes")
    image_ids = sorted(data.images)[:limit]
    if bottom_up:
        everybody = {"flip": flip is not False, "scales": scales or (1.0,), "person_threshold": 0.0}
        finder = BottomUpPoseEstimator(network, device, batch_size or 1, engine=engine, dtype=dtype, **everybody)
        estimate, settings = _bottom_up(finder)
    else:
        given = {"decode": decode, "flip": flip is not False, "input_size": input_size, "person_threshold": 0.0}
        given |= {"engine": engine, "dtype": dtype}
        estimator = PoseEstimator(network, device, batch_size or 32, detector=detector, **given)
        estimate, settings = _top_down(estimator, boxes, detector, joints)
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
        **(_score(metrics, found, data, image_ids, names, joints) if data.annotations else {}),
    }  # fmt: skip


def _score(
    metrics: Callable[..., dict[str, Any]], found: list[Result], data: KeypointSet, image_ids: Sequence[Any],
    names: Sequence[str], joints: Joints | None,
) -> dict[str, Any]:  # fmt: skip
    """Metrics of results in the joints ``names``; with ``joints`` (of a network of others) on those alone."""
    if joints is None:
        return metrics(read_results(found, data), data, image_ids)
    own = data.labels.names
    rows = [map_keypoints(np.reshape(r["keypoints"], (-1, 3)), names, own).ravel().tolist() for r in found]
    mapped = [{**r, "keypoints": row} for r, row in zip(found, rows, strict=True)]
    return metrics(read_results(mapped, data), data, image_ids, joints=[own[i] for i, _ in joints])


def _bottom_up(estimator: BottomUpPoseEstimator) -> tuple[Estimate, dict[str, Any]]:
    settings = {"flip": estimator.flip, "scales": list(estimator.scales), "input_size": estimator.input_size}
    return partial(bottomup.estimate, estimator), settings


def _top_down(
    estimator: PoseEstimator, boxes: str | Path | None, detector: str | Path | None, joints: Joints | None
) -> tuple[Estimate, dict[str, Any]]:
    """Where boxes are from: a file, a detector, or the annotations."""
    if boxes and detector:
        raise DataError("boxes are from a file or from a detector, not from both: leave one of them out")
    settings = {
        "flip": estimator.flip, "boxes": Path(boxes or detector).name if boxes or detector else "ground truth",
        "decode": estimator.codec.decode_method, "oks_nms": NMS_THRESHOLD, "input_size": list(estimator.input_size),
    }  # fmt: skip
    if detector:
        return partial(bottomup.estimate, estimator), settings
    rows = read_boxes(boxes) if boxes else None
    return partial(topdown.estimate, estimator, boxes=rows, joints=joints), settings


def _check_options(bottom_up: bool, top_down_only: Mapping[str, object], scales: Sequence[float] | None) -> None:
    kind, useless = ("bottom-up", top_down_only) if bottom_up else ("top-down", {"scales": scales})
    for option, value in useless.items():
        if value:
            raise DataError(f"{option} has no meaning for a {kind} network: leave --{option.replace('_', '-')} out")
