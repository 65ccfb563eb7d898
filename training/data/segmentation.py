"""Segmentation pictures and labels, in any folder form that :mod:`scalenet.evaluate.pairs` knows."""

from __future__ import annotations

import numpy as np

from scalenet.evaluate.miou import IGNORE
from scalenet.evaluate.pairs import find_pairs, read_label
from scalenet.predict.images import read_rgb

from . import Size
from .augment import jitter, warp, window
from .classification import MEAN_COLOUR

CLASSES_FILE = "classes.txt"  # beside images/ and labels/: a class a line


class SegmentationSource:
    """Pictures and labels of a split, decoded once and kept (``cache``) or read each time."""

    def __init__(
        self, root: str, split: str, classes: int, scale: tuple[float, float] = (0.5, 2.1), cache: bool = True
    ) -> None:
        self.pairs = find_pairs(root, split)
        self.classes, self.scale = classes, scale
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Picture (H, W, 3) RGB and label (H, W), as they are."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        picture, label = self.pairs[index]
        pair = read_rgb(picture), read_label(label, self.classes)
        if self._cache is not None:
            self._cache[index] = pair
        return pair

    def class_counts(self) -> np.ndarray:
        """(C,) labelled pixels of each class in the split."""
        labels = (read_label(label, self.classes) for _, label in self.pairs)
        return sum(np.bincount(x.ravel(), minlength=256)[: self.classes] for x in labels)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """A (H, W) crop at a random scale, flipped and recoloured; outside the picture the label is 255."""
        image, label = self.load(index)
        step = 1 / np.exp(rng.uniform(*np.log(self.scale)))
        room = np.array([image.shape[1] - size[1] * step, image.shape[0] - size[0] * step])
        corner = rng.uniform(np.minimum(room, 0), np.maximum(room, 0))
        matrix = window((step, step), tuple(corner))
        if rng.random() < 0.5:  # mirror the output window
            matrix[0] = [-matrix[0, 0], 0, matrix[0, 2] + matrix[0, 0] * (size[1] - 1)]
        image = warp(image, matrix, size, fill=MEAN_COLOUR)
        label = warp(label, matrix, size, nearest=True, fill=IGNORE)
        return jitter(image, rng), label.astype(np.int64)
