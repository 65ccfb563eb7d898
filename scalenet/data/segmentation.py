"""Images and index labels of a segmentation data set, paired by stem whatever their extension.

Three forms are known: ``images/SPLIT`` beside ``labels/SPLIT``; CamVid's ``SPLIT`` beside ``SPLITannot``; Cityscapes'
``leftImg8bit/SPLIT/CITY`` beside ``gtFine/SPLIT/CITY``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from . import IGNORE, DataError
from .images import ORIENTATION, SUFFIXES, read_rgb

Pair = tuple[Path, Path]
LABEL_IDS = "_labelIds"  # Cityscapes' own numbering; any other label file holds class indices
SPREAD_BY = {"L;2": 85, "L;4": 17}  # Pillow spreads grey of few bits over 0..255
CITYSCAPES_TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def find_pairs(root: str | Path, split: str) -> list[Pair]:
    """Image and label files of a split, sorted by name.

    Raises:
        DataError: naming the folders that were looked for, the first image without a label, or two files of one name.
    """
    root = Path(root)
    if (root / "leftImg8bit").is_dir():
        return _cityscapes(root / "leftImg8bit" / split, root / "gtFine" / split)
    forms = [(root / "images" / split, root / "labels" / split), (root / split, root / f"{split}annot")]
    for images, labels in forms:
        if images.is_dir() and labels.is_dir():
            return _pair(_files(images), _by_stem(_files(labels)), images, labels)
    raise DataError(
        f"no split {split!r} under {root}: looked for images/{split} and labels/{split}, {split} and {split}annot, "
        f"leftImg8bit/{split} and gtFine/{split}"
    )


def _cityscapes(images: Path, labels: Path) -> list[Pair]:
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"no folder {folder} (Cityscapes' form: leftImg8bit/SPLIT/CITY beside gtFine/SPLIT/CITY)")
    kinds, files = ("_gtFine_labelTrainIds", f"_gtFine{LABEL_IDS}"), _files(labels, "*/*")
    by_stem: dict[str, Path] = {}
    for kind in kinds:  # where there are both, the later one is kept
        by_stem |= _by_stem([p for p in files if p.stem.endswith(kind)], kind)
    return _pair(_files(images, "*/*"), by_stem, images, labels)


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(p for p in folder.glob(pattern) if p.suffix.lower() in SUFFIXES and not hidden(p.relative_to(folder)))


def hidden(path: Path) -> bool:
    """Whether a path in a data set's folder is a hidden file of a system or editor, such as ``._a.jpg``."""
    return any(part.startswith(".") and part != ".." for part in path.parts)


def _by_stem(files: list[Path], ending: str = "") -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        other = found.setdefault(path.stem.removesuffix(ending), path)
        if other is not path:
            raise DataError(f"{other} and {path} are called alike: keep one of them, or call it otherwise")
    return found


def _pair(image_files: list[Path], by_stem: dict[str, Path], images: Path, labels: Path) -> list[Pair]:
    if not image_files:
        raise DataError(f"no images in {images}")
    found = _by_stem(image_files, "_leftImg8bit")
    missing = [p for stem, p in found.items() if stem not in by_stem]
    if missing:
        raise DataError(f"no label for {missing[0]} in {labels} ({len(missing)} of {len(found)} images have none)")
    return [(p, by_stem[stem]) for stem, p in found.items()]


def check_sizes(pairs: Iterable[Pair]) -> None:
    """Check that every label has its image's size, by the headers; where these differ, by the decoded pixels.

    Raises:
        DataError: naming the first label that is not.
        ImageError: for an image that cannot be read.
    """
    for image, file in pairs:
        sizes = [_header_size(path) for path in (image, file)]
        if None in sizes or sizes[0] != sizes[1]:
            check_shape(file, read_indices(file), image, read_rgb(image).shape[:2])


def check_shape(file: Path, label: np.ndarray, image: Path, shape: tuple[int, int]) -> None:
    """Raises :class:`DataError` if a label (H, W) has not the ``shape`` of its image."""
    if label.shape != shape:
        turned = ", turned as its EXIF data say" if shape == label.shape[::-1] else ""
        raise DataError(f"{file} is {label.shape}, its image {image} {shape}{turned}")


def _header_size(path: Path) -> tuple[int, int] | None:
    """(H, W) of an image file as it is shown; None where its header does not say."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            return image.size if turned else image.size[::-1]
    except Exception:  # a damaged header can make Pillow's readers fail in any way; reading it says what is wrong
        return None


def decode_label(data: bytes, what: str) -> np.ndarray:
    """(H, W) values of an encoded label image, just as they are stored: grey of 1 to 16 bits, or a palette's indices.

    Raises:
        DataError: if it is no image of one channel (or several that are alike), or one whose values JPEG has changed.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, mode, raw = image.format, image.mode, str(image.tile[0][3]) if image.tile else ""
            values = np.asarray(image)
    except Exception as e:  # a damaged file can make Pillow's readers fail in any way
        raise DataError(f"{what} is not an image that can be read ({str(e)[:60] or type(e).__name__})") from None
    if kind == "JPEG":
        raise DataError(f"{what} is a JPEG, which does not keep class indices: labels are PNG")
    if mode in ("RGB", "RGBA", "LA"):  # grey, saved in colour
        colours = values[..., : 1 if mode == "LA" else 3]
        values, mode = (colours[..., 0], "L") if (colours == colours[..., :1]).all() else (values, mode)
    if mode not in ("1", "L", "P") and not mode.startswith("I"):
        raise DataError(f"{what} is not a single-channel label image (it is {mode})")
    return values.astype(np.uint8) if mode == "1" else values // SPREAD_BY.get(raw, 1)


def read_indices(path: Path) -> np.ndarray:
    """(H, W) whole numbers that a label file holds for its pixels: classes, and what is none.

    Raises:
        DataError: as :func:`decode_label`.
    """
    label = decode_label(path.read_bytes(), str(path))
    return _train_ids(label) if path.stem.endswith(LABEL_IDS) else label


def as_classes(indices: np.ndarray, classes: int) -> np.ndarray:
    """(H, W) uint8 class indices; whatever is not one of ``classes`` becomes 255."""
    return np.where((indices >= 0) & (indices < classes), indices, IGNORE).astype(np.uint8)


def read_label(path: Path, classes: int) -> np.ndarray:
    """(H, W) uint8 class indices of a label file; whatever is not below ``classes`` becomes 255.

    Raises:
        DataError: as :func:`decode_label`.
    """
    return as_classes(read_indices(path), classes)


def _train_ids(label: np.ndarray) -> np.ndarray:
    table = np.full(256, IGNORE, np.uint8)
    table[list(CITYSCAPES_TRAIN_IDS)] = np.arange(len(CITYSCAPES_TRAIN_IDS))
    return table[np.minimum(label, 255)]
