"""mIoU of a network over a split: every picture as it is, counted at full size."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..datasets import DATASETS
from ..network import ScaleNet
from ..predict.loading import load_model
from ..predict.segmentation import Segmenter
from . import DataError
from .miou import ConfusionMatrix
from .pairs import find_pairs, read_label


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
) -> dict[str, Any]:
    """mIoU, IoU per class and pixel accuracy over a split.

    Args:
        name, checkpoint: as in :func:`scalenet.predict.loading.load_model`.
        dataset: "camvid" or "cityscapes", which gives the classes.
        root, split: as in :func:`scalenet.evaluate.pairs.find_pairs`.
        limit: only the first pictures.
        flip: mean with the mirrored picture; default not.

    Returns:
        model, dataset, split, flip, images, seconds, miou, pixel_accuracy, per_class (name -> IoU, None for a class
        that is neither there nor predicted), all fractions.

    Raises:
        DataError: for another folder than was looked for, or a label of another size than its picture.
        ValueError: if the network has another number of classes than the data set.
    """
    names = DATASETS[dataset].names
    pairs = find_pairs(root, split)[:limit]
    segmenter = Segmenter(load_model(name, checkpoint), device, batch_size or 1, bool(flip), resize=False)
    if segmenter.model.num_classes != len(names):
        raise ValueError(f"{name} has {segmenter.model.num_classes} classes, {dataset} has {len(names)}")
    matrix, started = ConfusionMatrix(len(names)), time.perf_counter()
    results = segmenter.stream(picture for picture, _ in pairs)
    for (picture, file), result in zip(pairs, tqdm(results, total=len(pairs), disable=None), strict=True):
        label = read_label(file, len(names))
        if label.shape != result.mask.shape:
            raise DataError(f"{file} is {label.shape}, its picture {picture} {result.mask.shape}")
        matrix.update(result.mask, label)
    per_class = {n: None if math.isnan(v) else float(v) for n, v in zip(names, matrix.iou(), strict=True)}
    return {
        "model": str(name) if isinstance(name, (str, Path)) else name.arch.name, "dataset": dataset, "split": split,
        "flip": bool(flip), "images": len(pairs), "seconds": round(time.perf_counter() - started, 2),
        "miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy(), "per_class": per_class,
    }  # fmt: skip
