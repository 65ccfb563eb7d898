"""Track people over frames by OKS and IoU. N people in a frame, M tracks, K joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..pose.oks import JOINT_THRESHOLD, likely_sigmas, oks
from ..predict.results import PoseResult

ENOUGH = 3  # joints that two poses must share before they are compared by joints, and that all motion is judged by
SEEN = 3  # frames that somebody is seen in before they get an id
SAME = 0.5  # OKS of two people in a frame from which one is taken for the other seen twice, if new or scored far lower:
LOWER = 0.85  # less than this share of the other's score
LARGEST_ZOOM = 1.25  # of the image from frame to frame
MET, FOLLOWED = 0.4, 0.2  # scores of people who are found: of who is new, of who is known


@dataclass
class _Track:
    """A person as last seen: (K, 3) keypoints x, y, score and (4,) box x1, y1, x2, y2 in pixels; ``carried``: moved on
    with the whole image since.
    """

    keypoints: np.ndarray
    box: np.ndarray
    velocity: np.ndarray  # (2,) pixels per frame
    carried: tuple[np.ndarray, np.ndarray]  # keypoints, box
    id: int = -1
    seen: int = 1  # frames
    missed: int = 0


@dataclass(frozen=True)
class _Seen:
    """Those of a frame's people who can be followed, each once, in an order that depends on themselves alone."""

    order: np.ndarray  # (N,) where they are in the result
    people: np.ndarray  # (N, K, 3)
    joints: np.ndarray  # (N, K) bool, which count
    boxes: np.ndarray
    scores: np.ndarray
    sigmas: np.ndarray  # (K,)

    @classmethod
    def of(cls, result: PoseResult, threshold: float) -> _Seen:
        """The people of a result who show a joint or have a box."""
        joints = (result.keypoints[..., 2] >= threshold) & np.isfinite(result.keypoints).all(-1)
        boxes = _boxes(result, joints)
        order = np.array([i for i in _canonical(result.keypoints, boxes) if np.isfinite(boxes[i]).all()], int)
        people, sigmas = result.keypoints.astype(float), likely_sigmas(result.labels)
        everyone = cls(order, people[order], joints[order], boxes[order], result.scores[order], sigmas)
        once = [row for row in range(len(order)) if not everyone.repeats(row)]
        order = order[once]
        return cls(order, people[order], joints[order], boxes[order], result.scores[order], sigmas)

    def repeats(self, row: int) -> bool:
        """Whether a person is much like another who scores much higher."""
        better = np.flatnonzero(self.scores * LOWER > self.scores[row])
        return bool((self.likeness(row, better) >= SAME).any())

    def likeness(self, row: int, others: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n,) OKS of a person to others; 0 where they share too few joints."""
        both = self.joints[others] & self.joints[row]
        area, areas = _area(self.boxes[row]), _area(self.boxes[others])
        near = oks(self.people[row], self.people[others], area, areas, self.sigmas, both)
        return np.where(both.sum(-1) >= ENOUGH, near, 0)


class Tracker:
    """Assigns people ids that persist over the frames of a video. An id is never reused for another person.

    Detections are matched one to one with tracks by maximum total similarity; those that score below ``begin`` are
    matched in a second round, with the remaining tracks. The similarity is the mean of two terms: OKS between the
    detected joints and the track's predicted joints, and IoU of their boxes; with fewer than 3 common joints, only IoU.
    A track without a detection survives for ``keep`` frames; its position is predicted by constant velocity, by
    standing still, and by the common motion of all tracks, as in a zoom.

    Args:
        likeness: minimum similarity of a person in two frames, 0..1.
        keep: number of frames that a track survives without a detection.
        threshold: minimum score of the joints that are compared.
        seen: number of detections before a track gets an id, against false positives.
        begin: minimum score for starting a track; others are dropped from the result.

    Raises:
        ValueError: for a setting out of range.
    """

    def __init__(
        self, likeness: float = 0.2, keep: int = 30, threshold: float = JOINT_THRESHOLD, seen: int = SEEN,
        begin: float = 0.0,
    ) -> None:  # fmt: skip
        if not 0 < likeness < 1 or keep < 0 or seen < 1:
            raise ValueError(
                f"likeness must lie between 0 and 1, keep be 0 or more and seen 1 or more, got {likeness}, {keep} and "
                f"{seen}"
            )
        self.likeness, self.keep, self.threshold, self.seen, self.begin = likeness, keep, threshold, seen, begin
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, result: PoseResult) -> PoseResult:
        """The people of the next frame with their ids, from 1; -1 for people without joints and box, or whose track has
        too few detections yet.

        Call it once per frame, in order. The order of people within a frame does not matter.
        """
        seen = _Seen.of(result, self.threshold)
        found = _rounds(self._likenesses(seen), seen.scores >= self.begin)
        self._carry(seen, found)
        for row in sorted(found):
            self._follow(self._tracks[found[row]], seen.people[row], seen.boxes[row])
        self._meet(seen, found)
        ids = np.full(len(result), -1)
        for row in sorted(found):
            ids[seen.order[row]] = self._id(self._tracks[found[row]])
        self._forget(set(found.values()))
        kept = (result.scores >= self.begin) | (ids >= 0)
        return replace(result, ids=ids) if kept.all() else replace(result, ids=ids)[kept]

    def _meet(self, seen: _Seen, found: dict[int, int]) -> None:
        """Start tracks for new people, highest score first, except for duplicates within this frame."""
        new = [row for row in range(len(seen.order)) if row not in found and seen.scores[row] >= self.begin]
        for row in sorted(new, key=lambda r: (-seen.scores[r], r)):
            if (seen.likeness(row, list(found)) < SAME).all():
                found[row] = len(self._tracks)
                keypoints, box = seen.people[row], seen.boxes[row]
                self._tracks.append(_Track(keypoints, box, np.zeros(2), (keypoints, box)))

    def _id(self, track: _Track) -> int:
        if track.id < 0 and track.seen >= self.seen:
            track.id, self._next = self._next, self._next + 1
        return track.id

    def _forget(self, matched: set[int]) -> None:
        """Drop tracks without recent detections, those without an id sooner."""
        for column, track in enumerate(self._tracks):
            track.missed = 0 if column in matched else track.missed + 1
        self._tracks = [t for t in self._tracks if t.missed <= (self.keep if t.id >= 0 else min(self.keep, self.seen))]

    def _likenesses(self, seen: _Seen) -> np.ndarray:
        """(N, M), 0 where it is too little."""
        table = np.zeros((len(seen.order), len(self._tracks)))
        for column, track in enumerate(self._tracks):
            poses = [_shifted(track.keypoints, track.box, track.velocity * (track.missed + 1))]
            if track.missed:  # who is hidden may go on, stand still, or move with all the image
                poses += [(track.keypoints, track.box), track.carried]
            for keypoints, box in poses:
                table[:, column] = np.maximum(table[:, column], self._likeness(keypoints, box, seen))
        return np.where(table >= self.likeness, table, 0)

    def _likeness(self, known: np.ndarray, box: np.ndarray, seen: _Seen) -> np.ndarray:
        """(N,) of each person to (K, 3) keypoints in a box."""
        both = seen.joints & (known[:, 2] >= self.threshold)
        by_joints = oks(known, seen.people, _area(box), _area(seen.boxes), seen.sigmas, both)
        by_boxes = _iou(box, seen.boxes)
        return np.where(both.sum(-1) >= ENOUGH, (by_joints + by_boxes) / 2, by_boxes)

    def _carry(self, seen: _Seen, found: dict[int, int]) -> None:
        """Move undetected tracks by the common motion since the last frame: a zoom or a pan."""
        pairs = []
        for row, column in found.items():
            track = self._tracks[column]
            both = seen.joints[row] & (track.keypoints[:, 2] >= self.threshold)
            if not track.missed and both.sum() >= ENOUGH:
                pairs.append(np.stack([track.keypoints[both, :2], seen.people[row][both, :2]]))
        if not pairs:
            return
        scale, shift = _common_motion(*np.concatenate(pairs, 1))
        for column, track in enumerate(self._tracks):
            if column not in found.values():
                keypoints, box = track.carried[0].copy(), track.carried[1] * scale + np.tile(shift, 2)
                keypoints[:, :2] = keypoints[:, :2] * scale + shift
                track.carried = keypoints, box

    def _follow(self, track: _Track, keypoints: np.ndarray, box: np.ndarray) -> None:
        both = (keypoints[:, 2] >= self.threshold) & (track.keypoints[:, 2] >= self.threshold)
        if both.sum() >= ENOUGH:
            moved = np.median((keypoints - track.keypoints)[both, :2], axis=0)
        else:
            moved = (box - track.box).reshape(2, 2).mean(0)
        track.velocity = (track.velocity + moved / (track.missed + 1)) / 2
        track.keypoints, track.box, track.carried = keypoints, box, (keypoints, box)
        track.seen += 1


def tracker_for(estimator: Any, threshold: float = JOINT_THRESHOLD) -> Tracker:
    """A tracker for a pose estimator's people that begins with those who are sure.

    The estimator is made to find people when less so, by whom those known are followed; not where it is given boxes,
    or leaves nobody out.
    """
    found = not estimator.spec.boxed or estimator.detector is not None
    if not (found and estimator.person_threshold):
        return Tracker(threshold=threshold)
    estimator.person_threshold = min(estimator.person_threshold, FOLLOWED)
    return Tracker(threshold=threshold, begin=MET)


def _rounds(likeness: np.ndarray, sure: np.ndarray) -> dict[int, int]:
    """Columns by row of an (N, M) table so that their sum is greatest, first for the rows that are sure."""
    found: dict[int, int] = {}
    for rows in (np.flatnonzero(sure), np.flatnonzero(~sure)):
        columns = np.setdiff1d(np.arange(likeness.shape[1]), list(found.values()))
        part = likeness[np.ix_(rows, columns)]
        for row, column in zip(*linear_sum_assignment(-part), strict=True):
            if part[row, column]:
                found[int(rows[row])] = int(columns[column])
    return found


def _shifted(keypoints: np.ndarray, box: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = keypoints.copy()
    moved[:, :2] += shift
    return moved, box + np.tile(shift, 2)


def _common_motion(before: np.ndarray, now: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and (2,) shift, which least squares give for (n, 2) points of a frame and the next."""
    middles = before.mean(0), now.mean(0)
    spread = ((before - middles[0]) ** 2).sum()
    scale = ((before - middles[0]) * (now - middles[1])).sum() / max(spread, 1e-9)
    scale = float(np.clip(scale, 1 / LARGEST_ZOOM, LARGEST_ZOOM))
    return scale, middles[1] - scale * middles[0]


def _boxes(result: PoseResult, seen: np.ndarray) -> np.ndarray:
    """(N, 4) x1, y1, x2, y2 around the visible joints, without any the given box; NaN where there is neither."""
    xy = np.where(seen[..., None], result.keypoints[..., :2], np.nan).astype(float)
    boxes = np.full((len(result), 4), np.nan) if result.boxes is None else result.boxes.astype(float)
    some = seen.any(1)
    boxes[some] = np.concatenate([np.nanmin(xy[some], 1), np.nanmax(xy[some], 1)], 1)
    return boxes


def _canonical(keypoints: np.ndarray, boxes: np.ndarray) -> list[int]:
    """An order of the people that depends on themselves alone."""
    columns = np.concatenate([keypoints.reshape(len(keypoints), 3 * keypoints.shape[1]), boxes], 1)
    return np.lexsort(columns.T).tolist() if len(columns) else []


def _area(boxes: np.ndarray) -> np.ndarray:
    """Square pixels of (…, 4) boxes, each side counted as at least 1."""
    return np.maximum(boxes[..., 2] - boxes[..., 0], 1) * np.maximum(boxes[..., 3] - boxes[..., 1], 1)


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,) IoU of a (4,) box with (N, 4) boxes."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inter = np.maximum(high - low, 0).prod(-1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(-1) - inter
    return inter / np.maximum(union, 1e-9)
