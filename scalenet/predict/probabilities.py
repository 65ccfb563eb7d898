"""How probable each of C classes is in each of (H, W) pixels: from logits, and into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..data.io import atomic_write

MAX_VALUES = 1 << 29  # of one image: 2 GiB


def probabilities_of(logits: np.ndarray, covered: tuple[int, int], size: tuple[int, ...]) -> np.ndarray:
    """(C, H, W) float32 probabilities from (C, h, w) logits, which are resized as those that a mask is made of.

    Args:
        covered: (H, W) that the logits cover, at least ``size``.
        size: (H, W) of the image.

    Raises:
        ValueError: if they would take more than 2 GiB.
    """
    classes, (height, width) = len(logits), size
    if classes * height * width > MAX_VALUES:
        what = f"{classes} classes in {height}x{width} pixels"
        raise ValueError(f"probabilities of {what} would take more than 2 GiB: reduce the image")
    full = np.empty((classes, height, width), np.float32)
    for one, values in zip(full, logits, strict=True):
        one[:] = cv2.resize(values, covered[::-1], interpolation=cv2.INTER_LINEAR)[:height, :width]
    full -= full.max(0)
    np.exp(full, out=full)
    full /= full.sum(0)
    return full


def save_probabilities(path: str | Path, probabilities: np.ndarray, classes: Sequence[str]) -> Path:
    """Write (C, H, W) probabilities and the names of the classes as a NumPy archive, whole or not at all.

    Raises:
        ValueError: for another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: probabilities are kept in a .npz file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, ".npz", probabilities.nbytes) as temporary:
        np.savez(temporary, probabilities=probabilities, classes=np.array(classes))
    return path
