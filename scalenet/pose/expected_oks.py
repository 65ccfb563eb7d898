"""Joints where the expected object keypoint similarity is highest, as ProbPose decodes (Purkrabek and Matas, 2024).

A heatmap, sharpened, is taken for the probability of its joint's place, which is what
``training.tasks.losses.peak_divergence`` teaches it to be. A point's expected similarity is that probability smoothed
by the metric's own kernel: narrow for eyes, wide for hips. N people, K joints, (h, w) heatmaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

SHARPNESS = 8.0  # chosen on Stanford 40 val among 5 to 12
PERSON = 0.47  # square root of a person's area in heights of the crop: a box and its margin of 1.25, COCO's 0.53 of it
LEAST = 1e-12  # of the value whose logarithm is taken


@lru_cache(maxsize=16)
def _kernels(sigmas: tuple[float, ...], height: int, length: int) -> np.ndarray:
    """(K, length, length) float32: how similar two rows, or two columns, are for each joint."""
    spread = 2 * np.array(sigmas)[:, None, None] * PERSON * height
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    return np.exp(distance**2 / (-2 * spread**2)).astype(np.float32)


def expected_similarity(heatmaps: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """(N, K, h, w) float32 0..1: the similarity to expect of every pixel, given (N, K, h, w) heatmaps."""
    h, w = heatmaps.shape[2:]
    chance = np.exp(SHARPNESS * (heatmaps - heatmaps.max((2, 3), keepdims=True)))
    chance /= chance.sum((2, 3), keepdims=True)
    key = tuple(float(s) for s in sigmas)
    return _kernels(key, h, h) @ chance @ _kernels(key, h, w)


def best_points(heatmaps: np.ndarray, sigmas: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Best points (N, K, 2) as x, y in heatmap pixels, between pixels by a parabola, and their similarity (N, K)."""
    n, k, h, w = heatmaps.shape
    expected = expected_similarity(heatmaps, sigmas).reshape(n * k, h, w)
    every = np.arange(n * k)
    y, x = np.divmod(expected.reshape(n * k, h * w).argmax(1), w)
    best = expected[every, y, x]
    across = _between([expected[every, y, i] for i in _three(x, w)], x, w)
    down = _between([expected[every, i, x] for i in _three(y, h)], y, h)
    return np.stack([across, down], 1).reshape(n, k, 2), best.reshape(n, k)


def _three(position: np.ndarray, size: int) -> list[np.ndarray]:
    """Indices around each position, moved inside where it lies on an edge."""
    middle = position.clip(1, max(1, size - 2))
    return [(middle + step).clip(0, size - 1) for step in (-1, 0, 1)]


def _between(values: list[np.ndarray], position: np.ndarray, size: int) -> np.ndarray:
    """Where a parabola through the logarithms of three neighbours' values is highest, inside the map."""
    before, here, after = (np.log(np.maximum(v, LEAST)) for v in values)
    step = 0.5 * (before - after) / np.minimum(before - 2 * here + after, -1e-6)
    return np.clip(position.clip(1, max(1, size - 2)) + np.clip(step, -1, 1), 0, size - 1)
