"""Augmentation on uint8 RGB arrays: colour by look-up table, geometry by one warp."""

from __future__ import annotations

import cv2
import numpy as np


def jitter(image: np.ndarray, rng: np.random.Generator, strength: float = 0.3) -> np.ndarray:
    """Random brightness, contrast and saturation, each by up to ``strength``."""
    gain, shift = 1 + rng.uniform(-strength, strength), 255 * rng.uniform(-strength, strength) / 2
    table = np.clip((np.arange(256) - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table)
    saturation = 1 + rng.uniform(-strength, strength)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)


def window(matrix_scale: tuple[float, float], corner: tuple[float, float]) -> np.ndarray:
    """(2, 3) affine for ``cv2.warpAffine`` (output to source): scale per axis, then the window's corner (x, y).

    Pixel centres are half-integers, so that a scale maps areas and not sample points.
    """
    (sx, sy), (x, y) = matrix_scale, corner
    return np.array([[sx, 0, x + 0.5 * sx - 0.5], [0, sy, y + 0.5 * sy - 0.5]])


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], nearest: bool = False, fill=0) -> np.ndarray:
    """Warp to (H, W) ``size`` by an output-to-source affine."""
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    return cv2.warpAffine(image, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=fill)
