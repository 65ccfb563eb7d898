"""Photographs without labels, of data folders of several forms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scalenet.data.images import SUFFIXES, decode_rgb
from scalenet.data.segmentation import hidden

from . import DataError, Size
from .augment import jitter
from .classification import tar_images

PLACES = ("images", "leftImg8bit", ".")  # where in a data folder its splits lie
AREA = (0.25, 1.0)
RATIO = (3 / 4, 4 / 3)


def read_images(root: str, split: str) -> list[tuple[str, bytes]]:
    """Name and content of the images of ``root/split.tar``, or else below ``root/images/split`` or ``root/split``.

    Raises:
        DataError: if there are none.
    """
    tar = Path(root) / f"{split}.tar"
    if tar.is_file():
        found = [(f"{tar}/{name}", data) for name, data in tar_images(tar)]
    else:
        folders = (Path(root) / place / split for place in PLACES)
        paths = next(filter(None, map(_images_below, folders)), [])
        found = [(str(p), p.read_bytes()) for p in paths]
    if not found:
        raise DataError(f"no images in {tar}, {Path(root) / 'images' / split} or {Path(root) / split}")
    return found


def _images_below(folder: Path) -> list[Path]:
    files = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in files if not hidden(p.relative_to(folder)))


class PhotographSource:
    """Encoded images of several data folders kept in memory, decoded when asked for.

    Args:
        roots: data folders, each with the splits.
        split: a split's name, or several joined by "+".

    Raises:
        DataError: if a folder has no images of a split.
    """

    def __init__(self, roots: Sequence[str], split: str) -> None:
        self.images = [item for root in roots for part in split.split("+") for item in read_images(root, part)]

    def __len__(self) -> int:
        return len(self.images)

    def _decoded(self, index: int) -> np.ndarray:
        name, data = self.images[index]
        return decode_rgb(data, name)

    def load(self, index: int, size: Size) -> np.ndarray:
        """The largest middle part of the (H, W) ``size``'s shape, resized to it."""
        image = self._decoded(index)
        h, w = image.shape[:2]
        scale = min(h / size[0], w / size[1])
        ch, cw = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        y, x = (h - ch) // 2, (w - cw) // 2
        return _resized(image[y : y + ch, x : x + cw], size)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray]:
        """A random part of the image, resized to (H, W) ``size``, flipped and recoloured."""
        image = self._decoded(index)
        h, w = image.shape[:2]
        area = h * w * rng.uniform(*AREA)
        ratio = np.exp(rng.uniform(*np.log(RATIO))) * size[1] / size[0]
        ch, cw = (
            min(full, max(1, round(side))) for full, side in ((h, np.sqrt(area / ratio)), (w, np.sqrt(area * ratio)))
        )
        y, x = rng.integers(h - ch + 1), rng.integers(w - cw + 1)
        image = _resized(image[y : y + ch, x : x + cw], size)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return (jitter(np.ascontiguousarray(image), rng),)


def _resized(image: np.ndarray, size: Size) -> np.ndarray:
    """To (H, W) ``size``: means of pixels where it becomes smaller."""
    smaller = image.shape[0] * image.shape[1] > size[0] * size[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
