"""Segmentation images and labels, in any folder form that :mod:`scalenet.data.segmentation` knows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from scalenet.data import IGNORE
from scalenet.data.images import read_rgb
from scalenet.data.label_values import LabelValues
from scalenet.data.segmentation import Pair, check_shape, check_sizes, find_pairs, read_indices, read_label

from . import DataError, Size
from .augment import check_scale, dusk, jitter, warp, window
from .classification import MEAN_COLOUR

CLASSES_FILE = "classes.txt"  # beside images/ and labels/: a class a line
LOOKED_AT = 100  # labels of a training split, before the training


def joined_pairs(root: str, split: str) -> list[Pair]:
    """Image and label files of the splits joined by "+", each once; see :func:`find_pairs`."""
    return list(dict.fromkeys(pair for part in split.split("+") for pair in find_pairs(root, part)))


def validation_pairs(root: str, split: str, val_split: str, hold_out: str = "") -> list[Pair]:
    """Image and label files to validate on: of ``val_split``, or all that are held out of either split.

    Raises:
        DataError: if no name begins with ``hold_out``.
    """
    if not hold_out:
        return joined_pairs(root, val_split)
    pairs = joined_pairs(root, f"{split}+{val_split}")
    held = [pair for pair in pairs if _held_out(pair, hold_out)]
    if not held:
        raise DataError(f"no image of {split} or {val_split} under {root} begins with hold_out={hold_out}")
    return held


def check_pairs(pairs: Sequence[Pair], classes: int, what: str, every: bool = True) -> None:
    """See, before a training, that images and labels can be read and fit, and say which values are no class.

    Args:
        every: read all of them; else all headers, and LOOKED_AT of the labels.

    Raises:
        DataError, ImageError: naming the first that cannot be used.
    """
    values = LabelValues(classes)
    if not every:
        check_sizes(pairs)
    step = 1 if every else max(1, len(pairs) // LOOKED_AT)
    for image, file in pairs[::step]:
        indices = read_indices(file)
        values.update(indices)
        if every:
            check_shape(file, indices, image, read_rgb(image).shape[:2])
    values.say(what)


def _held_out(pair: Pair, prefix: str) -> bool:
    return pair[0].stem.startswith(prefix)


class SegmentationSource:
    """Images and labels to learn from, decoded once and kept (``cache``) or read each time.

    Args:
        root, split: as :func:`joined_pairs`.
        classes: labels from here on are ignored.
        scale: least and greatest size of a sample's things.
        hold_out: images whose names begin with it are left out.
        mix: probability that a sample gets classes of another image pasted in.
        dusk: strength of changes of light, 0 to 1.
        draw: how a scale is drawn: "log" (evenly in its logarithm), "even", or "tenths" (0.5, 0.6 …, evenly).
        colour: largest change of brightness, contrast and saturation.

    Raises:
        DataError: if the split is missing, or nothing is left of it.
    """

    def __init__(
        self,
        root: str,
        split: str,
        classes: int,
        scale: tuple[float, float] = (0.5, 2.1),
        cache: bool = True,
        *,
        hold_out: str = "",
        mix: float = 0.0,
        dusk: float = 0.0,
        draw: str = "log",
        colour: float = 0.3,
    ) -> None:
        check_scale(scale)
        pairs = joined_pairs(root, split)
        self.pairs = [pair for pair in pairs if not (hold_out and _held_out(pair, hold_out))]
        if not self.pairs:
            raise DataError(f"every image of {split} under {root} begins with hold_out={hold_out}: none is left")
        self.classes, self.scale, self.mix, self.dusk = classes, scale, mix, dusk
        self.draw, self.colour = draw, colour
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None
        self._rarity = 1 / np.maximum(1, self.class_counts()) if mix else None

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) RGB and label (H, W), as they are."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        image, label = self.pairs[index]
        pair = read_rgb(image), read_label(label, self.classes)
        if self._cache is not None:
            self._cache[index] = pair
        return pair

    def class_counts(self) -> np.ndarray:
        """(C,) labelled pixels of each class in the split."""
        labels = (read_label(label, self.classes) for _, label in self.pairs)
        counts = (np.bincount(x.ravel(), minlength=256)[: self.classes] for x in labels)
        return sum(counts, np.zeros(self.classes, np.int64))

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """A (H, W) crop at a random scale, flipped, mixed and recoloured; outside the image the label is 255."""
        image, label = self._crop(index, rng, size)
        if self.mix and rng.random() < self.mix:
            self._paste(image, label, index, rng)
        if self.colour:
            image = jitter(image, rng, self.colour)
        if self.dusk:
            image = dusk(image, rng, self.dusk)
        return image, label.astype(np.int64)

    def _scale(self, rng: np.random.Generator) -> float:
        low, high = self.scale
        if self.draw == "tenths":
            return low + 0.1 * int(rng.integers(round((high - low) * 10) + 1))
        return rng.uniform(low, high) if self.draw == "even" else np.exp(rng.uniform(*np.log(self.scale)))

    def _crop(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """An image (H, W, 3) and its label (H, W) uint8 at a random scale and place, flipped or not."""
        image, label = self.load(index)
        step = 1 / self._scale(rng)
        room = np.array([image.shape[1] - size[1] * step, image.shape[0] - size[0] * step])
        corner = rng.uniform(np.minimum(room, 0), np.maximum(room, 0))
        matrix = window((step, step), tuple(corner))
        if rng.random() < 0.5:  # mirror the output window
            matrix[0] = [-matrix[0, 0], 0, matrix[0, 2] + matrix[0, 0] * (size[1] - 1)]
        image = warp(image, matrix, size, fill=MEAN_COLOUR)
        label = warp(label, matrix, size, nearest=True, fill=IGNORE)
        return image, label

    def _paste(self, image: np.ndarray, label: np.ndarray, index: int, rng: np.random.Generator) -> None:
        """Put half the classes of a crop of another image into this one, the rarer the likelier (ClassMix)."""
        other = (index + 1 + int(rng.integers(max(1, len(self) - 1)))) % len(self)
        pixels, classes = self._crop(other, rng, label.shape)
        present = np.flatnonzero(np.bincount(classes.ravel(), minlength=256)[: self.classes])
        if not present.size or self._rarity is None:
            return
        chance = self._rarity[present]
        chosen = rng.choice(present, (len(present) + 1) // 2, replace=False, p=chance / chance.sum())
        mask = cv2.LUT(classes, np.isin(np.arange(256), chosen).astype(np.uint8))
        cv2.copyTo(pixels, mask, image)
        cv2.copyTo(classes, mask, label)
