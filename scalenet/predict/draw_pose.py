"""Skeletons on a picture."""

from __future__ import annotations

import cv2
import numpy as np

from ..datasets import Colour, Labels, palette
from .draw import FONT, INK

PERSON_COLOURS = palette(16)
DRAWN_THRESHOLD = 0.3  # of joints: legs guessed for a portrait score up to here
SHIFT = 4  # OpenCV's fixed point: a sixteenth of a pixel


def draw_skeletons(
    image: np.ndarray,
    keypoints: np.ndarray,
    labels: Labels,
    threshold: float = DRAWN_THRESHOLD,
    ids: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of an RGB (H, W, 3) uint8 picture with limbs and joints of (N, K, 3) keypoints.

    Args:
        threshold: joints with a lower score are left out, and limbs that need them.
        ids: (N,) who is who: limbs get a colour for each, and the number stands above; below 0: nobody known.
    """
    canvas = np.ascontiguousarray(image).copy()
    plates = []
    for number, person in enumerate(keypoints):
        seen = (person[:, 2] >= threshold) & np.isfinite(person).all(1)
        if not seen.any():
            continue
        known = ids is not None and ids[number] >= 0
        colour = PERSON_COLOURS[ids[number] % len(PERSON_COLOURS)] if known else None
        _draw_person(canvas, person, seen, labels, colour)
        if known:
            plates.append((int(ids[number]), person[seen, :2], colour))
    for plate in plates:  # over everybody's limbs
        _draw_number(canvas, *plate)
    return canvas


def _draw_number(canvas: np.ndarray, number: int, points: np.ndarray, colour: Colour) -> None:
    """The number on a plate of the colour, above the points and inside the picture."""
    height, width = canvas.shape[:2]
    scale = float(np.clip(min(height, width) / 900, 0.4, 2.0))
    (w, h), _ = cv2.getTextSize(str(number), FONT, scale, max(1, round(2 * scale)))
    margin = max(2, h // 3)
    low, high = points.min(0), points.max(0)
    x = int(np.clip((low[0] + high[0]) / 2 - w / 2, margin, max(margin, width - w - margin)))
    y = int(np.clip(low[1] - 2 * margin, h + margin, max(h + margin, height - margin)))
    cv2.rectangle(canvas, (x - margin, y - h - margin), (x + w + margin, y + margin), colour, -1)
    cv2.putText(canvas, str(number), (x, y), FONT, scale, INK, max(1, round(2 * scale)), cv2.LINE_AA)


def _draw_person(
    canvas: np.ndarray, person: np.ndarray, seen: np.ndarray, labels: Labels, colour: Colour | None
) -> None:
    extent = float(np.ptp(person[seen, :2], axis=0).max())
    thick = int(np.clip(round(extent / 70), 1, 12))
    points = np.round(np.clip(np.where(seen[:, None], person[:, :2], 0), -1e5, 1e5) * (1 << SHIFT)).astype(int)
    for a, b in labels.skeleton:
        if seen[a] and seen[b]:
            ends = tuple(map(int, points[a])), tuple(map(int, points[b]))
            cv2.line(canvas, *ends, colour or labels.colours[b], thick, cv2.LINE_AA, SHIFT)
    for k in np.flatnonzero(seen):
        centre = tuple(map(int, points[k]))
        cv2.circle(canvas, centre, (thick + 1) << SHIFT, (255, 255, 255), -1, cv2.LINE_AA, SHIFT)
        cv2.circle(canvas, centre, thick << SHIFT, labels.colours[k], -1, cv2.LINE_AA, SHIFT)
