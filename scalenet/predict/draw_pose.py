"""Skeletons on a picture."""

from __future__ import annotations

import cv2
import numpy as np

from ..datasets import Labels

SHIFT = 4  # OpenCV's fixed point: a sixteenth of a pixel


def draw_skeletons(image: np.ndarray, keypoints: np.ndarray, labels: Labels, threshold: float = 0.2) -> np.ndarray:
    """A copy of an RGB (H, W, 3) uint8 picture with limbs and joints of (N, K, 3) keypoints.

    Args:
        threshold: joints with a lower score are left out, and limbs that need them.
    """
    canvas = np.ascontiguousarray(image).copy()
    for person in keypoints:
        seen = (person[:, 2] >= threshold) & np.isfinite(person).all(1)
        if seen.any():
            _draw_person(canvas, person, seen, labels)
    return canvas


def _draw_person(canvas: np.ndarray, person: np.ndarray, seen: np.ndarray, labels: Labels) -> None:
    extent = float(np.ptp(person[seen, :2], axis=0).max())
    thick = int(np.clip(round(extent / 70), 1, 12))
    points = np.round(np.clip(np.where(seen[:, None], person[:, :2], 0), -1e5, 1e5) * (1 << SHIFT)).astype(int)
    for a, b in labels.skeleton:
        if seen[a] and seen[b]:
            ends = tuple(map(int, points[a])), tuple(map(int, points[b]))
            cv2.line(canvas, *ends, labels.colours[b], thick, cv2.LINE_AA, SHIFT)
    for k in np.flatnonzero(seen):
        centre = tuple(map(int, points[k]))
        cv2.circle(canvas, centre, (thick + 1) << SHIFT, (255, 255, 255), -1, cv2.LINE_AA, SHIFT)
        cv2.circle(canvas, centre, thick << SHIFT, labels.colours[k], -1, cv2.LINE_AA, SHIFT)
