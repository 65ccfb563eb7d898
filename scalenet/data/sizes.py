"""The sizes at which networks see whole images: (H, W), sides multiples of what their branches need."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

STRIDE, COARSEST = 4, 32  # of a segmentation network's logits, and of the coarsest branch
MULTIPLE = 64  # sides of a bottom-up network's input are multiples of it
LONGEST = 4  # times the short side: what is longer is made to fit, so that memory is bounded
Size = tuple[int, int]


def scaled(size: Sequence[int], factor: float) -> Size:
    """Both sides times ``factor``, to the nearest multiple of 4."""
    first, second = (max(STRIDE, STRIDE * round(n * factor / STRIDE)) for n in size)
    return first, second


def reduced(pixels: np.ndarray, input_size: Size) -> np.ndarray:
    """An image of more pixels than a network's input reduced to as many, sides multiples of 4; else as it is."""
    h, w = pixels.shape[:2]
    factor = math.sqrt(math.prod(input_size) / (h * w))
    return pixels if factor >= 1 else cv2.resize(pixels, scaled((w, h), factor), interpolation=cv2.INTER_AREA)


def canvas_size(height: int, width: int, short: int) -> Size:
    """(H, W) of a bottom-up network's input for an image: ``short`` for its short side, the long one in proportion.

    Both are rounded up to a multiple of 64; the long one is at most 4 times the short one.
    """
    side = _round_up(short)
    long = min(_round_up(-(-short * max(height, width) // min(height, width))), LONGEST * side)
    return (side, long) if width >= height else (long, side)


def _round_up(n: int) -> int:
    return -(-n // MULTIPLE) * MULTIPLE
