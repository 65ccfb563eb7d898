"""Masks, legends and skeletons on an image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..data.labels import Colour, Labels, palette

FONT = cv2.FONT_HERSHEY_SIMPLEX
PAPER, INK = (255, 255, 255), (20, 20, 20)
PERSON_COLOURS = palette(16)
COLOURED_BY = ("person", "joint", None)
DRAWN_THRESHOLD = 0.4  # on Stanford 40 val it leaves 24 % of absent knees (44 % at 0.3) and 90 % of right ones (96 %)
SHIFT = 4  # OpenCV's fixed point: a sixteenth of a pixel


def overlay(
    image: np.ndarray, mask: np.ndarray, colours: Sequence[Colour], strength: float = 0.6, bare: Sequence[int] = ()
) -> np.ndarray:
    """A copy of an RGB (H, W, 3) uint8 image, coloured by a (H, W) index mask, regions outlined in white.

    Args:
        strength: share of the colour, 0..1; at 0 there are no outlines either.
        bare: classes that stay as they are in the image.

    Raises:
        ValueError: if image and mask differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"the image is {image.shape[:2]}, the mask {mask.shape}: draw on the image it was made from")
    if strength <= 0:
        return image.copy()
    table = np.zeros((1, 256, 3), np.uint8)
    table[0, : len(colours)] = colours
    coloured = cv2.LUT(cv2.merge([mask] * 3), table)
    canvas = cv2.addWeighted(coloured, strength, image, 1 - strength, 0, dst=coloured)
    borders = _borders(mask)
    if borders.any():  # in a single pixel OpenCV would take the colour for an image
        cv2.bitwise_or(canvas, PAPER, dst=canvas, mask=borders)  # type: ignore[call-overload]  # a colour will do
    if len(bare):
        left = np.isin(mask, bare)
        canvas[left] = image[left]
    return canvas


def _borders(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 1 in pixels whose right or lower neighbour has another class."""
    edges = np.zeros(mask.shape, bool)
    edges[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edges[:-1] |= mask[:-1] != mask[1:]
    return edges.view(np.uint8)


def with_legend(image: np.ndarray, entries: Sequence[tuple[str, Colour]]) -> np.ndarray:
    """A RGB image (H, W, 3) above rows of colour chips with their text; widened where the longest text needs it."""
    height, width = image.shape[:2]
    scale = float(np.clip(width / 1000, 0.42, 3.0))
    sizes = [cv2.getTextSize(text, FONT, scale, 1)[0] for text, _ in entries]
    unit = max((h for _, h in sizes), default=1)
    cells = [(w + 3 * unit, entry) for (w, _), entry in zip(sizes, entries, strict=True)]
    rows = _flow(cells, max([width, *(w + unit for w, _ in cells)]), unit)
    total = max([width, *(x + w for row in rows for x, w, _ in row)])
    canvas = np.full((height + len(rows) * 2 * unit + unit, total, 3), PAPER[0], np.uint8)  # quicker than of a tuple
    canvas[:height, :width] = image
    strip = canvas[height:]
    for number, row in enumerate(rows):
        for x, _, (text, colour) in row:
            y = unit + number * 2 * unit
            cv2.rectangle(strip, (x, y), (x + unit, y + unit - 1), tuple(map(int, colour)), -1)
            cv2.putText(strip, text, (x + 2 * unit, y + unit - 1), FONT, scale, INK, max(1, round(scale)), cv2.LINE_AA)
    return canvas


def corner_legend(image: np.ndarray, entries: Sequence[tuple[str, Colour]], strength: float = 0.7) -> np.ndarray:
    """A copy of an RGB (H, W, 3) image with rows of colour chips and names on pale ground in its upper left corner.

    The image keeps its size: rows that would take more than its height are left out, and on an image narrower than
    twice the legend all are.
    """
    height, width = image.shape[:2]
    scale = float(np.clip(min(height, width) / 1200, 0.35, 2.0))
    sizes = [cv2.getTextSize(text, FONT, scale, 1)[0] for text, _ in entries]
    unit = max((h for _, h in sizes), default=1)
    wide = max((w for w, _ in sizes), default=0) + 4 * unit
    fit = (height - unit) // (2 * unit)
    if not entries or fit < 1 or 2 * wide > width:
        return image.copy()
    canvas, rows = image.copy(), entries[:fit]
    panel = canvas[: (2 * len(rows) + 1) * unit, :wide]
    panel[:] = cv2.addWeighted(np.full_like(panel, PAPER[0]), strength, panel, 1 - strength, 0)
    for number, (text, colour) in enumerate(rows):
        y = unit + number * 2 * unit
        cv2.rectangle(canvas, (unit, y), (2 * unit, y + unit - 1), tuple(map(int, colour)), -1)
        cv2.putText(canvas, text, (3 * unit, y + unit - 1), FONT, scale, INK, max(1, round(scale)), cv2.LINE_AA)
    return canvas


def _flow(cells: Sequence[tuple[int, tuple]], width: int, gap: int) -> list[list[tuple[int, int, tuple]]]:
    """Lay (width, entry) cells out in rows like words: rows of (x, width, entry)."""
    rows: list[list[tuple[int, int, tuple]]] = [[]]
    x = gap
    for w, entry in cells:
        if rows[-1] and x + w > width:
            rows.append([])
            x = gap
        rows[-1].append((x, w, entry))
        x += w + gap
    return rows


def draw_skeletons(
    image: np.ndarray,
    keypoints: np.ndarray,
    labels: Labels,
    threshold: float = DRAWN_THRESHOLD,
    ids: np.ndarray | None = None,
    colour_by: str | None = None,
) -> np.ndarray:
    """A copy of an RGB (H, W, 3) uint8 image with limbs and joints of (N, K, 3) keypoints.

    Args:
        threshold: joints with a lower score, or of 0, are left out, and limbs that need them.
        ids: (N,) who is who: the number stands above; below 0: nobody known.
        colour_by: "person", "joint", or None: by person who has an id, by joint who has none.

    Raises:
        ValueError: for another ``colour_by``.
    """
    if colour_by not in COLOURED_BY:
        raise ValueError(f"colour_by is 'person', 'joint' or None, got {colour_by!r}")
    canvas = np.ascontiguousarray(image).copy()
    plates: list[tuple[int, np.ndarray, Colour]] = []
    for number, person in enumerate(keypoints):
        seen = (person[:, 2] >= threshold) & (person[:, 2] > 0) & np.isfinite(person).all(1)
        if not seen.any():
            continue
        identity = -1 if ids is None else int(ids[number])
        own = person_colour(identity if identity >= 0 else number)
        by_person = colour_by == "person" or (colour_by is None and identity >= 0)
        _draw_person(canvas, person, seen, labels, own if by_person else None)
        if identity >= 0:
            plates.append((identity, person[seen, :2], own))
    for plate in plates:  # over everybody's limbs
        _draw_number(canvas, *plate)
    return canvas


def person_colour(number: int) -> Colour:
    """The colour of a person by id, or by place in the result."""
    return PERSON_COLOURS[number % len(PERSON_COLOURS)]


def _draw_number(canvas: np.ndarray, number: int, points: np.ndarray, colour: Colour) -> None:
    """The number on a plate of the colour, above the points and inside the image."""
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
        cv2.circle(canvas, centre, thick << SHIFT, colour or labels.colours[k], -1, cv2.LINE_AA, SHIFT)
