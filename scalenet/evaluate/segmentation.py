"""mIoU of a network over a split, on whole images at their original resolution."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import DataError
from ..data.label_values import LabelValues
from ..data.labels import DATASETS
from ..data.segmentation import Pair, as_classes, check_shape, check_sizes, find_pairs, read_indices
from ..models.factory import load_model, name_of
from ..nn.network import ScaleNet
from ..predict.base import progress
from ..predict.segmentation import Segmenter
from .metrics.miou import ConfusionMatrix

FOLDER = "folder"  # any images and masks


def confusion_matrix(
    pairs: Sequence[Pair], masks: Iterable[np.ndarray], classes: int, values: LabelValues | None = None
) -> ConfusionMatrix:
    """Confusion matrix between predicted masks and labels.

    Args:
        pairs: (image file, label file) pairs.
        masks: (H, W) class indices, one mask per pair.
        classes: number of classes; larger label values are ignored.
        values: also counts the values of the labels.

    Raises:
        DataError: if a label and its image differ in size, or no label has a class.
    """
    matrix = ConfusionMatrix(classes)
    for (image, file), mask in zip(pairs, masks, strict=True):
        indices = read_indices(file)
        check_shape(file, indices, image, mask.shape)
        if values is not None:
            values.update(indices)
        matrix.update(mask, as_classes(indices, classes))
    if not matrix.counts.any():
        raise DataError(f"no pixel of the {len(pairs)} labels, such as {pairs[0][1]}, is of the {classes} classes")
    return matrix


def evaluate(
    name: str | Path | ScaleNet, dataset: str, root: str | Path, split: str = "val", *,
    checkpoint: str | Path | None = None, limit: int | None = None, flip: bool | None = None,
    device: str | torch.device | None = None, batch_size: int | None = None, engine: str = "torch",
    dtype: str | None = None, calibration: str | Path | None = None, scales: Sequence[float] = (1.0,),
    prefix: str = "", upsample: str = "logits",
) -> dict[str, Any]:  # fmt: skip
    """mIoU, per-class IoU and pixel accuracy over a split.

    Args:
        name, checkpoint: as in :func:`scalenet.models.factory.load_model`.
        dataset: "camvid" or "cityscapes", whose classes the network must have, or "folder": images and masks with the
            network's own classes. Label values that are not a class, such as 255, are ignored.
        root, split: as in :func:`scalenet.data.segmentation.find_pairs`; limit: use only the first images.
        flip: flip test; default off. engine, dtype, calibration, scales, upsample: as in a Segmenter.
        prefix: only images whose file name has this prefix; applied before ``limit``.

    Returns:
        model, dataset, split, flip, scales, upsample, images, seconds, miou, pixel_accuracy, per_class (name -> IoU,
        None for a class that is neither labelled nor predicted), all fractions; prefix if given.

    Raises:
        DataError: for an unknown folder layout, no image with that prefix, a label that differs from its image in size,
            or a network that is not for segmentation or has other classes than the data set.
    """
    model = load_model(name, checkpoint)
    if model.spec.people:
        raise DataError(f"{dataset} is for segmentation, {name_of(name)} is a {model.task} network")
    running: dict[str, Any] = {"engine": engine, "dtype": dtype, "calibration": calibration}
    running |= {"flip": bool(flip), "scales": scales, "upsample": upsample}
    segmenter = Segmenter(model, device, batch_size or 1, resize=False, **running)
    names = segmenter.labels.names if dataset == FOLDER else DATASETS[dataset].names
    _check_classes(model, name_of(name), names, dataset)
    pairs = _begin_with(prefix, find_pairs(root, split))[:limit]
    check_sizes(pairs)
    return {
        "model": name_of(name), "dataset": dataset, "split": split, **({"prefix": prefix} if prefix else {}),
        "flip": bool(flip), "scales": list(scales), "upsample": upsample, "images": len(pairs),
        **_measure(segmenter, pairs, names, f"labels of {split} in {root}"),
    }  # fmt: skip


def _measure(segmenter: Segmenter, pairs: list[Pair], names: tuple[str, ...], what: str) -> dict[str, Any]:
    """The seconds it takes, and the metrics."""
    started = time.perf_counter()
    results = progress(segmenter.stream(image for image, _ in pairs), len(pairs))
    values = LabelValues(len(names))
    matrix = confusion_matrix(pairs, (result.mask for result in results), len(names), values)
    values.say(what)
    per_class = {n: None if math.isnan(v) else float(v) for n, v in zip(names, matrix.iou(), strict=True)}
    seconds = round(time.perf_counter() - started, 2)
    return {
        "seconds": seconds, "miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy(), "per_class": per_class,
    }  # fmt: skip


def _check_classes(model: ScaleNet, name: str, names: tuple[str, ...], dataset: str) -> None:
    if model.num_classes != len(names):
        raise DataError(f"{name} has {model.num_classes} classes, {dataset} has {len(names)}")
    if model.labels is not None and model.labels.names != names:
        mine, theirs = (", ".join(n[:3]) for n in (model.labels.names, names))
        raise DataError(f"the network's classes are {mine} …, those of {dataset} {theirs} …")


def _begin_with(prefix: str, pairs: list[Pair]) -> list[Pair]:
    found = [pair for pair in pairs if pair[0].name.startswith(prefix)]
    if not found:
        folder = pairs[0][0].parent
        raise DataError(
            f"none of the {len(pairs)} images, such as {pairs[0][0].name} in {folder}, begins with {prefix!r}"
        )
    return found
