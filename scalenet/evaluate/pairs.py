"""Pictures and index labels of a segmentation data set, paired by stem whatever their extension.

Three forms are known: ``images/SPLIT`` beside ``labels/SPLIT``; CamVid's ``SPLIT`` beside ``SPLITannot``; Cityscapes'
``leftImg8bit/SPLIT/CITY`` beside ``gtFine/SPLIT/CITY``.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..predict.images import SUFFIXES
from . import DataError
from .miou import IGNORE

Pair = tuple[Path, Path]
LABEL_IDS = "_labelIds"  # Cityscapes' own numbering; any other label file holds class indices
SPREAD_BY = {"L;2": 85, "L;4": 17}  # Pillow spreads grey of few bits over 0..255
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


def decode_label(data: bytes, what: str) -> np.ndarray:
    """(H, W) values of an encoded label picture, just as they are stored: grey of 1 to 16 bits, or a palette's indices.

    Raises:
        DataError: if it is no picture of one channel, or one whose values JPEG has changed.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind, mode, raw = picture.format, picture.mode, str(picture.tile[0][3]) if picture.tile else ""
            values = np.asarray(picture) if mode in ("1", "L", "P") or mode.startswith("I") else None
    except Exception as e:  # a damaged file can make Pillow's readers fail in any way
        raise DataError(f"{what} is not a picture that can be read ({str(e)[:60] or type(e).__name__})") from None
    if kind == "JPEG":
        raise DataError(f"{what} is a JPEG, which does not keep class indices: labels are PNG")
    if values is None:
        raise DataError(f"{what} is not a single-channel label picture (it is {mode})")
    return values.astype(np.uint8) if mode == "1" else values // SPREAD_BY.get(raw, 1)


def read_label(path: Path, classes: int) -> np.ndarray:
    """(H, W) uint8 class indices; whatever is not below ``classes`` becomes 255.

    Raises:
        DataError: as :func:`decode_label`.
    """
    label = decode_label(path.read_bytes(), str(path))
    if path.stem.endswith(LABEL_IDS):
        label = _train_ids(label)
    return np.where(label < classes, label, IGNORE).astype(np.uint8)


def _train_ids(label: np.ndarray) -> np.ndarray:
    table = np.full(256, IGNORE, np.uint8)
    table[list(CITYSCAPES_TRAIN_IDS)] = np.arange(len(CITYSCAPES_TRAIN_IDS))
    return table[np.minimum(label, 255)]
