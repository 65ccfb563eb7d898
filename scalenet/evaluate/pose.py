"""Evaluation of a pose network over a data set, top-down or bottom-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data import DataError
from ..data.boxes import read_boxes
from ..data.keypoints import Joints, KeypointSet, Result, read_results, write_json
from ..data.labels import map_keypoints
from ..models.factory import load_model, name_of
from ..nn.network import ScaleNet
from ..predict.bottomup import BottomUpPoseEstimator
from ..predict.topdown import PoseEstimator
from . import bottomup, topdown
from .metrics.coco import NMS_THRESHOLD
from .metrics.pck import TORSO
from .scores import scorer

ENOUGH = {"lsp": TORSO}  # data sets that score a network of other joints on those it shares, if these are among them
Device = str | torch.device | None
Estimate = Callable[[KeypointSet, Sequence[Any]], list[Result]]


class RunOptions(NamedTuple):
    """How a network is run, see :func:`evaluate`."""

    device: Device
    batch_size: int | None
    flip: bool | None
    engine: str
    dtype: str | None
    calibration: str | Path | None

    def options(self) -> dict[str, Any]:
        """What every predictor takes by name."""
        return {
            "flip": self.flip is not False, "engine": self.engine, "dtype": self.dtype, "person_threshold": 0.0,
            "calibration": self.calibration,
        }  # fmt: skip


class TopDown(NamedTuple):
    """What holds for people in boxes alone, see :func:`evaluate`."""

    boxes: str | Path | None = None
    detector: str | Path | None = None
    input_size: tuple[int, int] | None = None
    decode: str | None = None


def evaluate(
    name: str | Path | ScaleNet, dataset: str, root: str | Path, split: str = "val", *,
    checkpoint: str | Path | None = None, limit: int | None = None, flip: bool | None = None, device: Device = None,
    batch_size: int | None = None, engine: str = "torch", dtype: str | None = None, boxes: str | Path | None = None,
    detector: str | Path | None = None, input_size: tuple[int, int] | None = None, decode: str | None = None,
    scales: Sequence[float] | None = None, results: str | Path | None = None, calibration: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Metrics of a pose network over a split, with the protocol they were measured by.

    Args:
        name, checkpoint: as in :func:`scalenet.models.factory.load_model`.
        dataset: "coco", "stanford40", "crowdpose" or "lsp", with :func:`scalenet.evaluate.scores.score`'s metrics. The
            joints must be the network's; for "lsp" the shared ones (joints_compared) do if the torso's are among them.
        root, split: as in :func:`scalenet.data.keypoints.find_annotations`; limit: use only the first images.
        flip: flip test; default on. engine, dtype, calibration: as in :class:`~scalenet.predict.base.Predictor`.
        boxes, detector: top-down only: a file of detections, or a person detector, see
            :func:`~scalenet.predict.detector.make_detector`; default the ground-truth boxes.
        input_size, decode: top-down only, as in a PoseEstimator. scales: bottom-up only, factors of the input size.
        results: also write the results to this file, in COCO's results format with the network's joints.

    Returns:
        model, dataset, split, flip, input_size, images, people, seconds; top-down boxes (source), decode and oks_nms,
        bottom-up scales; the metrics as fractions (none for a split without annotations, such as test-dev).

    Raises:
        DataError: for data, joints or options that do not fit the network or its task.
    """
    network, top_down = _pose_network(name, checkpoint, dataset), TopDown(boxes, detector, input_size, decode)
    _check_options(network, top_down, scales)
    metrics, data = scorer(dataset), KeypointSet.open(root, split)
    joints = data.match(_names(network), network.num_classes, ENOUGH.get(dataset, ()))
    options = RunOptions(device, batch_size, flip, engine, dtype, calibration)
    estimate, settings = _estimate(network, options, top_down, scales, data, joints)
    image_ids = sorted(data.images)[:limit]
    found, seconds = _timed(estimate, data, image_ids, results)
    return {
        "model": name_of(name), "dataset": dataset, "split": split, **settings, "images": len(image_ids),
        "people": len(found), "seconds": seconds,
        **(_score(metrics, found, data, image_ids, _names(network), joints) if data.annotations else {}),
    }  # fmt: skip


def _pose_network(name: str | Path | ScaleNet, checkpoint: str | Path | None, dataset: str) -> ScaleNet:
    network = load_model(name, checkpoint)
    if not network.spec.people:
        raise DataError(f"{dataset} is for pose, {name_of(name)} is a segmentation network")
    return network


def _names(network: ScaleNet) -> tuple[str, ...]:
    return network.labels.names if network.labels else ()


def _timed(
    estimate: Estimate, data: KeypointSet, image_ids: Sequence[Any], results: str | Path | None
) -> tuple[list[Result], float]:
    """What is found, written where that is wished, and the seconds it took."""
    started = time.perf_counter()
    found = estimate(data, image_ids)
    seconds = round(time.perf_counter() - started, 2)
    if results:
        write_json(results, found)
    return found, seconds


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


def _estimate(
    network: ScaleNet, running: RunOptions, top_down: TopDown, scales: Sequence[float] | None, data: KeypointSet,
    joints: Joints | None,
) -> tuple[Estimate, dict[str, Any]]:  # fmt: skip
    """Who finds people, and the settings that the metrics hold for."""
    if network.spec.boxed:
        estimate, settings = _top_down(network, running, top_down, data, joints)
    else:
        estimate, settings = _bottom_up(network, running, scales or (1.0,))
    if running.flip and not settings["flip"]:
        raise DataError("the network names no left and right joints: evaluate it with --no-flip")
    return estimate, settings


def _bottom_up(network: ScaleNet, running: RunOptions, scales: Sequence[float]) -> tuple[Estimate, dict[str, Any]]:
    estimator = BottomUpPoseEstimator(
        network, running.device, running.batch_size or 1, scales=scales, **running.options()
    )
    settings = {"flip": estimator.flip, "scales": list(scales), "input_size": estimator.input_size}
    return partial(bottomup.estimate, estimator), settings


def _top_down(
    network: ScaleNet, running: RunOptions, given: TopDown, data: KeypointSet, joints: Joints | None
) -> tuple[Estimate, dict[str, Any]]:  # fmt: skip
    """Boxes are from a file, a detector, or the annotations."""
    if not (given.boxes or given.detector or data.annotations):
        raise DataError(f"{data.path} labels nobody: give a detector's boxes")
    if not (given.boxes or given.detector or len(data.people().boxes)):
        raise DataError(f"nobody in {data.path} has labelled joints and a box with an area: give a detector's boxes")
    if given.boxes and given.detector:
        raise DataError("boxes are from a file or from a detector, not from both: leave one of them out")
    estimator = PoseEstimator(
        network, running.device, running.batch_size or 32, decode=given.decode, detector=given.detector,
        input_size=given.input_size, **running.options(),
    )  # fmt: skip
    settings = {
        "flip": estimator.flip, "boxes": Path(given.boxes or given.detector or "ground truth").name,
        "decode": estimator.codec.decode_method, "oks_nms": NMS_THRESHOLD, "input_size": list(estimator.input_size),
    }  # fmt: skip
    if given.detector:
        return partial(bottomup.estimate, estimator), settings
    rows = read_boxes(given.boxes) if given.boxes else None
    return partial(topdown.estimate, estimator, boxes=rows, joints=joints), settings


def _check_options(network: ScaleNet, top_down: TopDown, scales: Sequence[float] | None) -> None:
    boxed = network.spec.boxed
    kind, useless = ("top-down", {"scales": scales}) if boxed else ("bottom-up", top_down._asdict())
    for option, value in useless.items():
        if value:
            raise DataError(f"{option} has no meaning for a {kind} network: leave --{option.replace('_', '-')} out")
