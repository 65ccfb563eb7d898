"""Heatmaps and tags to people: candidates, matching by tags, quarter offset, refinement.

K joints, (H, W) map size, T tags per pixel, N people. The rules are HigherHRNet's: joints are taken one after another,
candidates go to the people found so far by Hungarian assignment, and what matches nobody starts a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from .matching import Assign, Groups, by_tags_and_places, match

NMS_KERNEL = np.ones((5, 5), np.uint8)
HEAD_OUTWARDS = {
    17: (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16),
    14: (13, 12, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11),
}
BLOCK = 16  # side of the squares that refinement looks at or leaves out as a whole
CHUNK = 128  # squares looked at together, so that they stay in the cache


class GroupingError(ValueError):
    """Maps or settings that cannot be grouped."""


@dataclass(frozen=True)
class Candidates:
    """Peaks of one joint, best first: column and row (n, 2), score (n,), tags (n, T)."""

    position: np.ndarray
    score: np.ndarray
    tags: np.ndarray


def group_keypoints(
    heatmaps: np.ndarray, tags: np.ndarray, *, joint_order: Sequence[int] | None = None, max_people: int = 30,
    detection_threshold: float = 0.1, tag_threshold: float = 1.0, adjust: bool = True, refine: bool = True,
    nearby: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Group the peaks of ``heatmaps`` into people by their tags.

    Args:
        heatmaps: (K, H, W) scores.
        tags: (K, H, W) or (K, H, W, T), compared by Euclidean distance.
        joint_order: which joints come first; default head and torso outwards for 17 (COCO) and 14 (CrowdPose) joints.
        max_people: peaks taken per joint, and people that take part in the matching; more than these may come back.
        detection_threshold: a peak (nothing in 5x5 is higher; a flat top counts once) must be above it.
        tag_threshold: a peak must be nearer than this to a person's mean tag to join.
        adjust: move found joints a quarter pixel towards the higher neighbour.
        refine: look for a person's missing joints where the heatmap is high and the tag near (always adjusted).
        nearby: a peak joins a person only within so many times the person's extent, and scores decide between peaks
            and people that are possible, see :func:`~.matching.by_tags_and_places`; None: tags alone, as HigherHRNet.

    Returns:
        Keypoints (N, K, 3) as x, y in map pixels, 0.5 at a pixel's centre, and score, zeros where a joint is missing;
        and scores (N,): the mean over all K joints before refinement, a missing joint counting 0.

    Raises:
        GroupingError: for shapes that do not fit, NaN or infinity in the maps, or settings out of range.
    """
    heatmaps, tags = _check_maps(heatmaps, tags)
    k = len(heatmaps)
    order = _check_settings(k, joint_order, max_people, detection_threshold, tag_threshold, nearby)
    maps = zip(heatmaps, tags, strict=True)
    candidates = [find_candidates(*each, max_people, detection_threshold, tag_threshold) for each in maps]
    rule = _rule(max_people, tag_threshold, nearby, min(heatmaps.shape[1:]))
    found = match(candidates, order, rule)
    keypoints, mean_tags = _collect(candidates, found, tags.shape[1])
    scores = keypoints[:, :, 2].mean(1)
    _settle(keypoints, found < 0, heatmaps, tags, mean_tags if refine else None, adjust)
    return keypoints.astype(np.float32), scores.astype(np.float32)


def _settle(
    keypoints: np.ndarray, missing: np.ndarray, heatmaps: np.ndarray, tags: np.ndarray, mean_tags: np.ndarray | None,
    adjust: bool,
) -> None:  # fmt: skip
    """Move found joints of (N, K, 3) to their points; with ``mean_tags`` (N, T) look for missing ones. In place."""
    for j, lacking in enumerate(missing.T):
        keypoints[~lacking, j, :2] = locate(heatmaps[j], keypoints[~lacking, j, :2].astype(int), adjust)
        if mean_tags is not None and lacking.any():
            keypoints[lacking, j] = _refined(heatmaps[j], tags[j], mean_tags[lacking])


def _refined(heatmap: np.ndarray, tags: np.ndarray, mean_tags: np.ndarray) -> np.ndarray:
    """(N, 3) of one joint for the people who lack it; zeros where it is not found either."""
    position, score = refine_joint(heatmap, tags, mean_tags)
    return np.where(score[:, None] > 0, np.column_stack([locate(heatmap, position, True), score]), 0)


def _check_maps(heatmaps: np.ndarray, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    heatmaps, tags = np.ascontiguousarray(heatmaps, np.float32), np.asarray(tags, np.float32)
    if heatmaps.ndim != 3 or tags.ndim not in (3, 4) or tags.shape[:3] != heatmaps.shape or 0 in tags.shape:
        raise GroupingError(
            "group_keypoints takes heatmaps (K, H, W) and tags (K, H, W) or (K, H, W, T), "
            f"got {heatmaps.shape} and {tags.shape}"
        )
    for name, maps in (("heatmaps", heatmaps), ("tags", tags)):
        # a sum shows NaN and infinity in one pass; only then is it worth asking where
        if not np.isfinite(maps.sum()) and not np.isfinite(maps).all():
            joint = int(np.argmin(np.isfinite(maps).reshape(len(maps), -1).all(1)))
            raise GroupingError(f"the {name} hold NaN or infinity (joint {joint}): the network's output is broken")
    return heatmaps, np.ascontiguousarray(np.moveaxis(tags if tags.ndim == 4 else tags[..., None], 3, 1))


def _check_settings(
    k: int, joint_order: Sequence[int] | None, max_people: int, detection_threshold: float, tag_threshold: float,
    nearby: float | None,
) -> list[int]:  # fmt: skip
    order = list(HEAD_OUTWARDS.get(k, range(k)) if joint_order is None else joint_order)
    if sorted(order) != list(range(k)):
        raise GroupingError(f"joint_order must hold each of 0..{k - 1} once, got {order}")
    if max_people < 1:
        raise GroupingError(f"max_people must be at least 1, got {max_people}")
    if not detection_threshold >= 0 or not tag_threshold > 0:
        raise GroupingError("detection_threshold must not be below 0 and tag_threshold must be above 0")
    if nearby is not None and not nearby > 0:
        raise GroupingError(f"nearby must be above 0, got {nearby}")
    return order


def find_candidates(
    heatmap: np.ndarray, tags: np.ndarray, limit: int, threshold: float, tag_threshold: float
) -> Candidates:
    """The ``limit`` best peaks above ``threshold`` of an (H, W) map with (T, H, W) tags: nothing in 5x5 is higher.

    A flat top, equal values in 5x5 with tags nearer than ``tag_threshold``, is one peak, at its first pixel.
    """
    peaks = np.flatnonzero((heatmap == cv2.dilate(heatmap, NMS_KERNEL)) & (heatmap > threshold))
    score = heatmap.ravel()[peaks]
    best = np.argsort(-score, kind="stable")[: limit * NMS_KERNEL.size]
    y, x = np.divmod(peaks[best], heatmap.shape[1])
    found = Candidates(np.column_stack([x, y]), score[best].astype(float), tags[:, y, x].T.astype(float))
    kept = np.arange(len(best))
    if (np.diff(found.score) == 0).any():
        kept = np.flatnonzero(~_doubles(found, tag_threshold))
    return Candidates(found.position[kept[:limit]], found.score[kept[:limit]], found.tags[kept[:limit]])


def _doubles(found: Candidates, tag_threshold: float) -> np.ndarray:
    """(n,) whether a peak is part of an earlier one's flat top."""
    near = np.abs(found.position[:, None] - found.position).max(2) <= NMS_KERNEL.shape[0] // 2
    alike = np.linalg.norm(found.tags[:, None] - found.tags, axis=2) < tag_threshold
    return np.tril(near & alike & (found.score[:, None] == found.score), -1).any(1)


def _rule(max_people: int, tag_threshold: float, nearby: float | None, side: int) -> Assign:
    """Who takes which peaks: by tags alone, or by tags and places on a map whose short side is ``side``."""
    if nearby is None:
        return partial(_by_tags, max_people=max_people, tag_threshold=tag_threshold)
    return partial(by_tags_and_places, max_people=max_people, tag_threshold=tag_threshold, nearby=nearby, side=side)


def _by_tags(people: Groups, joint: Candidates, max_people: int, tag_threshold: float) -> np.ndarray:
    """HigherHRNet's rule for :func:`~.matching.match`: tags alone decide."""
    return _assign(joint, people.mean_tags[:max_people], tag_threshold)


def _assign(joint: Candidates, mean_tags: np.ndarray, tag_threshold: float) -> np.ndarray:
    """The person each candidate joins, -1 for none."""
    person = np.full(len(joint.score), -1)
    distance = np.linalg.norm(joint.tags[:, None] - mean_tags[None], axis=2)
    rows, columns = linear_sum_assignment(np.round(distance) * 100 - joint.score[:, None])
    near = distance[rows, columns] < tag_threshold
    person[rows[near]] = columns[near]
    return person


def _collect(candidates: list[Candidates], found: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and scores of everybody's joints (N, K, 3), and everybody's mean tag (N, T)."""
    keypoints, sums = np.zeros((*found.shape, 3)), np.zeros((len(found), t))
    for j, joint in enumerate(candidates):
        has = found[:, j] >= 0
        pick = found[has, j]
        keypoints[has, j] = np.column_stack([joint.position[pick], joint.score[pick]])
        sums[has] += joint.tags[pick]
    return keypoints, sums / np.maximum((found >= 0).sum(1), 1)[:, None]


def locate(heatmap: np.ndarray, position: np.ndarray, adjust: bool) -> np.ndarray:
    """Pixels (n, 2) as column, row to points: the centre, or a quarter pixel from it towards the higher neighbour."""
    h, w = heatmap.shape
    x, y = position[:, 0], position[:, 1]
    right, left = heatmap[y, np.minimum(x + 1, w - 1)], heatmap[y, np.maximum(x - 1, 0)]
    below, above = heatmap[np.minimum(y + 1, h - 1), x], heatmap[np.maximum(y - 1, 0), x]
    quarter = np.where(np.column_stack([right > left, below > above]), 0.25, -0.25)
    return position + 0.5 + (quarter if adjust else 0)


def refine_joint(heatmap: np.ndarray, tags: np.ndarray, mean_tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where heatmap - round(distance to the person's mean tag) is highest, for every row of ``mean_tags`` (n, T).

    Returns column and row (n, 2) and the heatmap's values there (n,). The map is cut into squares; those that cannot
    hold the maximum, judged by their highest heat and their range of tags, are not looked at.
    """
    squares = _Squares(heatmap, tags)
    person, square = np.nonzero(squares.upper(mean_tags) >= squares.lower(mean_tags)[:, None])
    best_value, best_pixel = np.full(len(mean_tags), -np.inf), np.full(len(mean_tags), heatmap.size)
    for start in range(0, len(person), CHUNK):
        who = person[start : start + CHUNK]
        value, pixel = squares.highest(square[start : start + CHUNK], mean_tags[who])
        order = np.lexsort((pixel, -value, who))  # of equal values, the first pixel of the map
        first = order[np.unique(who[order], return_index=True)[1]]
        who, value, pixel = who[first], value[first], pixel[first]
        better = (value > best_value[who]) | ((value == best_value[who]) & (pixel < best_pixel[who]))
        best_value[who[better]], best_pixel[who[better]] = value[better], pixel[better]
    y, x = np.divmod(best_pixel, heatmap.shape[1])
    return np.column_stack([x, y]), heatmap[y, x].astype(float)


class _Squares:
    """One joint's (H, W) and (T, H, W) maps cut into squares: (S, pixels). Outside the map is minus infinity."""

    def __init__(self, heatmap: np.ndarray, tags: np.ndarray) -> None:
        self.width = heatmap.shape[1]
        self.heat = self._cut(heatmap, constant_values=-np.inf)
        self.tags = [self._cut(t, mode="edge") for t in tags]
        self.across = -(-self.width // BLOCK)
        self.top = self.heat.argmax(1)
        self.top_heat = self.heat[np.arange(len(self.top)), self.top].astype(float)

    @staticmethod
    def _cut(plane: np.ndarray, **padding: Any) -> np.ndarray:
        h, w = plane.shape
        if h % BLOCK or w % BLOCK:
            plane = np.pad(plane, ((0, -h % BLOCK), (0, -w % BLOCK)), **padding)
        h, w = plane.shape
        return plane.reshape(h // BLOCK, BLOCK, w // BLOCK, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)

    def upper(self, mean_tags: np.ndarray) -> np.ndarray:
        """(n, S): what the value cannot exceed in each square."""
        gaps = []
        for tags, mean in self._pairs(mean_tags):
            low, high = tags.min(1).astype(float), tags.max(1).astype(float)
            gaps.append(np.maximum(np.maximum(low - mean, mean - high), 0))
        return self.top_heat - np.round(_norm(gaps))

    def lower(self, mean_tags: np.ndarray) -> np.ndarray:
        """(n,): a value that is reached somewhere, by the hottest pixel of some square."""
        at = np.arange(len(self.top)), self.top
        return (self.top_heat - np.round(_norm([t[at] - m for t, m in self._pairs(mean_tags)]))).max(1)

    def highest(self, square: np.ndarray, mean_tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each of n squares under its own mean tag (n, T): the highest value, and the first (flat) pixel with it."""
        distance = _norm([t[square] - m for t, m in self._pairs(mean_tags)])
        value = np.subtract(self.heat[square], np.round(distance, out=distance), out=distance)
        at = value.argmax(1)
        (row, column), (y, x) = np.divmod(square, self.across), np.divmod(at, BLOCK)
        return value[np.arange(len(at)), at], (row * BLOCK + y) * self.width + column * BLOCK + x

    def _pairs(self, mean_tags: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each plane of tags with everybody's mean (n, 1)."""
        return zip(self.tags, mean_tags.T[:, :, None], strict=True)


def _norm(difference: Sequence[np.ndarray]) -> np.ndarray:
    """Length over the first axis, plane by plane: numpy is slow at sums over a short last axis."""
    if len(difference) == 1:
        return np.abs(difference[0])
    total = np.square(difference[0])
    for plane in difference[1:]:
        total += np.square(plane)
    return np.sqrt(total, out=total)
