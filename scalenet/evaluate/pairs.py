"""Pictures and index labels of a segmentation data set, paired by stem whatever their extension.

Three forms are known: ``images/SPLIT`` beside ``labels/SPLIT``; CamVid's ``SPLIT`` beside ``SPLITannot``; Cityscapes'
``leftImg8bit/SPLIT/CITY`` beside ``gtFine/SPLIT/CITY``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..predict.images import SUFFIXES
from . import DataError
from .miou import IGNORE

Pair = tuple[Path, Path]
LABEL_IDS = "_labelIds"  # Cityscapes' own numbering; any other label file holds class indices
CITYSCAPES_TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def find_pairs(root: str | Path, split: str) -> list[Pair]:
    """Picture and label files of a split, sorted by name.

    Raises:
        DataError: naming the folders that were looked for, or the first picture without a label.
    """
    root = Path(root)
    if (root / "leftImg8bit").is_dir():
        return _cityscapes(root / "leftImg8bit" / split, root / "gtFine" / split)
    forms = [(root / "images" / split, root / "labels" / split), (root / split, root / f"{split}annot")]
    for images, labels in forms:
        if images.is_dir() and labels.is_dir():
            return _pair(_files(images), {p.stem: p for p in _files(labels)}, images, labels)
    raise DataError(
        f"no split {split!r} under {root}: looked for images/{split} and labels/{split}, {split} and {split}annot, "
        f"leftImg8bit/{split} and gtFine/{split}"
    )


def _cityscapes(images: Path, labels: Path) -> list[Pair]:
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"no folder {folder} (Cityscapes' form: leftImg8bit/SPLIT/CITY beside gtFine/SPLIT/CITY)")
    kinds = ("_gtFine_labelTrainIds", f"_gtFine{LABEL_IDS}")  # where there are both, the later one is kept
    by_stem = {p.stem.removesuffix(k): p for k in kinds for p in _files(labels, "*/*") if p.stem.endswith(k)}
    return _pair(_files(images, "*/*"), by_stem, images, labels)


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(p for p in folder.glob(pattern) if p.suffix.lower() in SUFFIXES)


def _pair(pictures: list[Path], by_stem: dict[str, Path], images: Path, labels: Path) -> list[Pair]:
    if not pictures:
        raise DataError(f"no pictures in {images}")
    pairs = [(p, by_stem.get(p.stem.removesuffix("_leftImg8bit"))) for p in pictures]
    missing = [p for p, label in pairs if label is None]
    if missing:
        raise DataError(f"no label for {missing[0]} in {labels} ({len(missing)} of {len(pairs)} pictures have none)")
    return pairs


def read_label(path: Path, classes: int) -> np.ndarray:
    """(H, W) uint8 class indices; whatever is not below ``classes`` becomes 255.

    Raises:
        DataError: if the file is no single-channel picture.
    """
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if label is None or label.ndim != 2:
        raise DataError(f"{path} is not a single-channel label picture")
    if path.stem.endswith(LABEL_IDS):
        label = _train_ids(label)
    return np.where(label < classes, label, IGNORE).astype(np.uint8)


def _train_ids(label: np.ndarray) -> np.ndarray:
    table = np.full(256, IGNORE, np.uint8)
    table[list(CITYSCAPES_TRAIN_IDS)] = np.arange(len(CITYSCAPES_TRAIN_IDS))
    return table[np.minimum(label, 255)]
