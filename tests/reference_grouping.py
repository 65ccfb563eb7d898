"""The grouping rules written out plainly, one joint and one pixel at a time; :mod:`scalenet.pose.grouping` is held
to it. Slow on purpose: nothing here is clever.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

COCO_ORDER = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
CROWDPOSE_ORDER = [13, 12, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]


def is_peak(heatmap: np.ndarray, y: int, x: int) -> bool:
    """Whether no pixel in the 5x5 square around (y, x) is higher."""
    return heatmap[y, x] >= heatmap[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].max()


def peaks(heatmap: np.ndarray, tags: np.ndarray, threshold: float, limit: int, alike: float) -> list[tuple[int, int]]:
    """(y, x) of the best peaks, best first, earlier pixels first among equals.

    Of equal neighbours with tags alike only the first counts.
    """
    found = [(int(y), int(x)) for y, x in np.argwhere(heatmap > threshold) if is_peak(heatmap, y, x)]
    found.sort(key=lambda p: -heatmap[p])

    def is_double(n: int) -> bool:
        return any(
            heatmap[p] == heatmap[found[n]]
            and max(abs(p[0] - found[n][0]), abs(p[1] - found[n][1])) <= 2
            and np.linalg.norm(tags[p] - tags[found[n]]) < alike
            for p in found[:n]
        )

    return [p for n, p in enumerate(found) if not is_double(n)][:limit]


def quarter(heatmap: np.ndarray, y: int, x: int) -> tuple[float, float]:
    """The point (x, y) of a pixel, a quarter from its centre towards the higher neighbour."""
    h, w = heatmap.shape
    right, left = heatmap[y, min(x + 1, w - 1)], heatmap[y, max(x - 1, 0)]
    below, above = heatmap[min(y + 1, h - 1), x], heatmap[max(y - 1, 0), x]
    return x + 0.5 + (0.25 if right > left else -0.25), y + 0.5 + (0.25 if below > above else -0.25)


class Person:
    def __init__(self) -> None:
        self.pixels: dict[int, tuple[int, int]] = {}
        self.tags: list[np.ndarray] = []

    def add(self, joint: int, pixel: tuple[int, int], tag: np.ndarray) -> None:
        self.pixels[joint] = pixel
        self.tags.append(tag)

    def mean_tag(self) -> np.ndarray:
        return np.mean(self.tags, axis=0)


def group(heatmaps, tags, order=None, max_people=30, detection_threshold=0.1, tag_threshold=1.0, refine=True):
    """Keypoints (N, K, 3) and scores (N,) as ``group_keypoints`` defines them."""
    k = len(heatmaps)
    heatmaps = np.asarray(heatmaps, np.float32).astype(float)
    tags = np.asarray(tags, np.float32).astype(float).reshape(*heatmaps.shape, -1)
    people: list[Person] = []
    for j in order or {17: COCO_ORDER, 14: CROWDPOSE_ORDER}.get(k, list(range(k))):
        pixels = peaks(heatmaps[j], tags[j], detection_threshold, max_people, tag_threshold)
        known = people[:max_people]
        means = [p.mean_tag() for p in known]
        distance = np.array([[np.linalg.norm(tags[j][p] - m) for m in means] for p in pixels]).reshape(
            len(pixels), len(means)
        )
        cost = np.round(distance) * 100 - np.array([heatmaps[j][p] for p in pixels])[:, None]
        partner = {r: c for r, c in zip(*linear_sum_assignment(cost), strict=True) if distance[r, c] < tag_threshold}
        for row, pixel in enumerate(pixels):
            person = known[partner[row]] if row in partner else Person()
            if row not in partner:
                people.append(person)
            person.add(j, pixel, tags[j][pixel])
    keypoints = np.zeros((len(people), k, 3))
    scores = np.array([sum(heatmaps[j][p] for j, p in person.pixels.items()) / k for person in people])
    for n, person in enumerate(people):
        for j in range(k):
            pixel = person.pixels.get(j)
            if pixel is None and refine:
                value = heatmaps[j] - np.round(np.sqrt(((tags[j] - person.mean_tag()) ** 2).sum(-1)))
                pixel = np.unravel_index(np.argmax(value), value.shape)
                pixel = pixel if heatmaps[j][pixel] > 0 else None
            if pixel is not None:
                keypoints[n, j] = *quarter(heatmaps[j], *pixel), heatmaps[j][pixel]
    return keypoints, scores
