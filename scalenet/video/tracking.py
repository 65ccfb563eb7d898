"""Track people over frames by OKS between their joints. N people in a frame, M tracks, K joints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..pose.oks import JOINT_THRESHOLD, likely_sigmas, oks
from ..predict.results import PoseResult

ENOUGH = 3  # joints that two poses must share before they are compared by joints


@dataclass
class _Track:
    """A person as last seen: (K, 3) keypoints x, y, score and (4,) box x1, y1, x2, y2 in pixels."""

    id: int
    keypoints: np.ndarray
    box: np.ndarray
    velocity: np.ndarray  # (2,) pixels per frame
    missed: int = 0


class Tracker:
    """Gives people ids that stay over the frames of one video. An id is never given to a second person.

    The people of a frame are assigned one to one to the tracks (Hungarian algorithm), so that the sum of similarities
    is greatest. The similarity is OKS between the joints seen now and those last seen, moved on at the track's
    velocity; where two poses share fewer than 3 joints, the IoU of their boxes.

    Args:
        likeness: least similarity of the same person in two frames, above 0 and below 1.
        keep: frames for which a track that is not seen is kept.
        threshold: least score, 0..1, of a joint that counts.

    Raises:
        ValueError: for a setting out of range.
    """

    def __init__(self, likeness: float = 0.2, keep: int = 30, threshold: float = JOINT_THRESHOLD) -> None:
        if not 0 < likeness < 1 or keep < 0:
            raise ValueError(f"likeness must lie between 0 and 1 and keep be 0 or more, got {likeness} and {keep}")
        self.likeness, self.keep, self.threshold = likeness, keep, threshold
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, result: PoseResult) -> PoseResult:
        """The next frame's result with ``ids``, (N,) from 1 on; -1 for a person without a visible joint and a box.

        Call it once for each frame, in order. The order of people within a frame does not matter.
        """
        n = len(result)
        seen = (result.keypoints[..., 2] >= self.threshold) & np.isfinite(result.keypoints).all(-1)
        boxes = _boxes(result, seen)
        order = [i for i in _canonical(result.keypoints, boxes) if np.isfinite(boxes[i]).all()]
        ids = np.full(n, -1)
        people = result.keypoints[order].astype(float)
        likeness = self._likenesses(people, seen[order], boxes[order], likely_sigmas(result.labels))
        found = dict(zip(*linear_sum_assignment(-likeness), strict=True))
        matched = set()
        for row, i in enumerate(order):
            column = found.get(row)
            if column is None or not likeness[row, column]:
                self._tracks.append(_Track(self._next, people[row], boxes[i], np.zeros(2)))
                column, self._next = len(self._tracks) - 1, self._next + 1
            else:
                self._follow(self._tracks[column], people[row], boxes[i])
            matched.add(column)
            ids[i] = self._tracks[column].id
        for column, track in enumerate(self._tracks):
            track.missed = 0 if column in matched else track.missed + 1
        self._tracks = [t for t in self._tracks if t.missed <= self.keep]
        return replace(result, ids=ids)

    def _likenesses(self, people: np.ndarray, seen: np.ndarray, boxes: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
        """(N, M) similarities, 0 where they are below the least."""
        table = np.zeros((len(people), len(self._tracks)))
        for column, track in enumerate(self._tracks):
            move = track.velocity * (track.missed + 1)
            moves = [move] if not track.missed else [move, np.zeros(2)]  # who is hidden may go on, or stand still
            for shift in moves:
                near = self._likeness(track, shift, people, seen, boxes, sigmas)
                table[:, column] = np.maximum(table[:, column], near)
        return np.where(table >= self.likeness, table, 0)

    def _likeness(
        self, track: _Track, shift: np.ndarray, people: np.ndarray, seen: np.ndarray, boxes: np.ndarray,
        sigmas: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """(N,) similarities of people to a track moved by ``shift``, (2,) pixels."""
        known = track.keypoints.copy()
        known[:, :2] += shift
        both = seen & (known[:, 2] >= self.threshold)
        by_joints = oks(known, people, _area(track.box), _area(boxes), sigmas, both)
        return np.where(both.sum(-1) >= ENOUGH, by_joints, _iou(track.box + np.tile(shift, 2), boxes))

    def _follow(self, track: _Track, keypoints: np.ndarray, box: np.ndarray) -> None:
        both = (keypoints[:, 2] >= self.threshold) & (track.keypoints[:, 2] >= self.threshold)
        if both.sum() >= ENOUGH:
            moved = np.median((keypoints - track.keypoints)[both, :2], axis=0)
        else:
            moved = (box - track.box).reshape(2, 2).mean(0)
        track.velocity = (track.velocity + moved / (track.missed + 1)) / 2
        track.keypoints, track.box = keypoints, box


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
