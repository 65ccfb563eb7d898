"""Augmentation on uint8 RGB arrays: colour by look-up table, geometry by one warp."""

from __future__ import annotations

import math

import cv2
import numpy as np

from scalenet.data import DataError

DUSK_CHANCE = 0.4  # of each change of light
NOISE_SPREAD = 73.9  # standard deviation of a random byte


def check_scale(scale: tuple[float, float]) -> None:
    """Raises :class:`DataError` unless ``scale`` is a least and a greatest factor."""
    low, high = scale
    if not 0 < low <= high < math.inf:
        raise DataError(f"scale is a least and a greatest factor above 0, such as 0.5x2, got {low:g}x{high:g}")


def jitter(image: np.ndarray, rng: np.random.Generator, strength: float = 0.3) -> np.ndarray:
    """Random brightness, contrast and saturation, each by up to ``strength``."""
    gain, shift = 1 + rng.uniform(-strength, strength), 255 * rng.uniform(-strength, strength) / 2
    table = np.clip((np.arange(256) - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table)
    saturation = 1 + rng.uniform(-strength, strength)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)


def dusk(image: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Another time of day, weather or camera: changes of light, each with a probability of 0.4 and a random size.

    Gamma towards another mean brightness (so that a dark image does not turn black), warm or cold light, haze, pale
    colours, a brightness that falls off across the image, blur and noise.

    Args:
        image: (H, W, 3) uint8.
        strength: 0 (nothing) to 1 (from night to glare).
    """
    gamma, warmth, haze, pale, slope, blur, noise = strength * (rng.random(7) < DUSK_CHANCE)
    brightness = sum(cv2.mean(image)) / 3 / 255
    image = cv2.LUT(image, _light_table(rng, brightness, gamma, warmth, haze))
    if pale:
        saturation = 1 - rng.uniform(0, 0.8) * pale
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        image = cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)
    if slope:
        down, right = slope * rng.uniform(-0.5, 0.5, 2)
        rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2])
        field = 1 + np.float32(down) * rows[:, None] + np.float32(right) * columns
        image = cv2.multiply(image, cv2.merge([field] * 3), dtype=cv2.CV_8U)
    if blur:
        image = cv2.GaussianBlur(image, (5, 5), 0.3 + 0.9 * blur * rng.random())
    if noise:
        scale = 12 * noise * rng.random() / NOISE_SPREAD
        grain = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)  # even: normal is too slow
        image = cv2.addWeighted(image, 1, grain, scale, -127.5 * scale)
    return image


def _light_table(rng: np.random.Generator, mean: float, gamma: float, warmth: float, haze: float) -> np.ndarray:
    """(1, 256, 3) look-up table of random gamma, colour temperature and haze of these strengths.

    Args:
        mean: brightness of the image, 0 to 1.
    """
    wanted = rng.uniform(np.log(0.12), np.log(0.7))
    power = np.clip(wanted / np.log(np.clip(mean, 0.02, 0.98)), 0.4, 2.7) ** gamma
    warm, green = warmth * rng.uniform(-0.35, 0.35), warmth * rng.uniform(-0.08, 0.08)
    veil, share = rng.uniform(60, 230), haze * rng.uniform(0, 0.5)
    light = 255 * np.linspace(0, 1, 256)[:, None] ** power * np.exp([warm, green, -warm])
    return np.clip(light * (1 - share) + veil * share + 0.5, 0, 255).astype(np.uint8)[None]


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
