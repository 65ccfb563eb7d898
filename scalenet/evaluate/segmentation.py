"""mIoU of a network over a split: every picture as it is, counted at full size."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..datasets import DATASETS
from ..fold import fold
from ..network import ScaleNet
from ..predict.loading import load_model, name_of
from ..predict.segmentation import Segmenter
from . import DataError
from .miou import ConfusionMatrix
from .pairs import Pair, find_pairs, read_label


def count(pairs: Sequence[Pair], masks: Iterable[np.ndarray], classes: int) -> ConfusionMatrix:
    """Predicted (H, W) index masks, one per pair, counted against the pairs' labels.

    Raises:
        DataError: for a label of another size than its picture, or labels that name nothing.
    """
    matrix = ConfusionMatrix(classes)
    for (picture, file), mask in zip(pairs, masks, strict=True):
        label = read_label(file, classes)
        if label.shape != mask.shape:
            raise DataError(f"{file} is {label.shape}, its picture {picture} {mask.shape}")
        matrix.update(mask, label)
    if not matrix.counts.any():
        raise DataError(f"no pixel of the {len(pairs)} labels, such as {pairs[0][1]}, is of the {classes} classes")
    return matrix


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
) -> dict[str, Any]:
    """mIoU, IoU per class and pixel accuracy over a split.

    Args:
        name, checkpoint: as in :func:`scalenet.predict.loading.load_model`.
        dataset: "camvid" or "cityscapes", which gives the classes.
        root, split: as in :func:`scalenet.evaluate.pairs.find_pairs`.
        limit: only the first pictures.
        flip: mean with the mirrored picture; default not.
        scales: factors of the picture's size to look at.

    Returns:
        model, dataset, split, flip, scales, images, seconds, miou, pixel_accuracy, per_class (name -> IoU, None for a
        class that is neither there nor predicted), all fractions.

    Raises:
        DataError: for another folder than was looked for, or a label of another size than its picture.
        ValueError: if the network has other classes than the data set.
    """
    names = DATASETS[dataset].names
    pairs = find_pairs(root, split)[:limit]
    segmenter = Segmenter(fold(load_model(name, checkpoint)), device, batch_size or 1, bool(flip), scales, resize=False)
    if segmenter.model.num_classes != len(names):
        raise ValueError(f"{name} has {segmenter.model.num_classes} classes, {dataset} has {len(names)}")
    labels = segmenter.model.labels
    if labels is not None and labels.names != names:
        mine, theirs = (", ".join(n[:3]) for n in (labels.names, names))
        raise ValueError(f"the network's classes are {mine} …, those of {dataset} {theirs} …")
    started = time.perf_counter()
    results = tqdm(segmenter.stream(picture for picture, _ in pairs), total=len(pairs), disable=None)
    matrix = count(pairs, (result.mask for result in results), len(names))
    per_class = {n: None if math.isnan(v) else float(v) for n, v in zip(names, matrix.iou(), strict=True)}
    seconds = round(time.perf_counter() - started, 2)
    return {
        "model": name_of(name), "dataset": dataset, "split": split,
        "flip": bool(flip), "scales": list(scales), "images": len(pairs), "seconds": seconds,
        "miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy(), "per_class": per_class,
    }  # fmt: skip
