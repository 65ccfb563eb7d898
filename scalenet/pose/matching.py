"""Peaks to people, joint by joint, and a rule for networks whose tags alone tell people apart less surely.

K joints, P people begun so far, T tags per pixel, n peaks of a joint. Places are column and row in map pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from .grouping import Candidates

TAG_COST = 0.3  # of a tag's distance, in scores
FULL = 5.0  # sum of scores from which a person's pull on peaks is at least whole
LEAST_EXTENT = 0.14  # of the map's short side: nobody is taken for smaller
IMPOSSIBLE = 100.0


class Groups:
    """What is known of the people begun so far, a row each."""

    def __init__(self, joints: int, tags: int) -> None:
        self.found = np.empty((0, joints), int)
        self.tags, self.place = np.empty((0, tags)), np.empty((0, 2))  # sums; places weighted by scores
        self.count, self.score = np.empty(0), np.empty(0)
        self.low, self.high = np.empty((0, 2)), np.empty((0, 2))

    @property
    def mean_tags(self) -> np.ndarray:
        """(P, T)."""
        return self.tags / self.count[:, None]

    def begin(self, joint: int, peaks: Candidates, which: np.ndarray) -> None:
        """A new person for each of the peaks ``which`` (m,)."""
        m = len(which)
        new = np.full((m, self.found.shape[1]), -1)
        new[:, joint] = which
        position, score = peaks.position[which].astype(float), peaks.score[which]
        self.found, self.tags = np.vstack([self.found, new]), np.vstack([self.tags, peaks.tags[which]])
        self.place = np.vstack([self.place, position * score[:, None]])
        self.count, self.score = np.concatenate([self.count, np.ones(m)]), np.concatenate([self.score, score])
        self.low, self.high = np.vstack([self.low, position]), np.vstack([self.high, position])

    def join(self, joint: int, peaks: Candidates, which: np.ndarray, person: np.ndarray) -> None:
        """Give the peaks ``which`` (m,) to the rows ``person`` (m,)."""
        position, score = peaks.position[which], peaks.score[which]
        self.found[person, joint] = which
        self.tags[person] += peaks.tags[which]
        self.place[person] += position * score[:, None]
        self.count[person] += 1
        self.score[person] += score
        self.low[person] = np.minimum(self.low[person], position)
        self.high[person] = np.maximum(self.high[person], position)

    def cost(self, peaks: Candidates, first: int, tag_threshold: float, nearby: float, least: float) -> np.ndarray:
        """(n, P) of giving each peak to each of the ``first`` people; ``IMPOSSIBLE`` where it cannot be theirs."""
        rows = slice(first)
        tag = np.linalg.norm(peaks.tags[:, None] - self.mean_tags[rows], axis=2)
        middle = self.place[rows] / self.score[rows, None]
        extent = np.maximum((self.high[rows] - self.low[rows]).max(1), least)
        away = np.linalg.norm(peaks.position[:, None] - middle, axis=2) / extent
        cost = TAG_COST * tag - peaks.score[:, None] * self.score[rows] / FULL
        return np.where((tag < tag_threshold) & (away <= nearby), cost, IMPOSSIBLE)


Assign = Callable[[Groups, "Candidates"], np.ndarray]


def match(candidates: list[Candidates], order: list[int], assign: Assign) -> np.ndarray:
    """Which candidate of every joint each person gets: (P, K), -1 where there is none.

    Args:
        order: of the joints. The peaks of one join people or begin new ones before the next one's are looked at.
        assign: the row (n,) of the person that each peak of a joint joins, -1 for none.
    """
    people = Groups(len(candidates), candidates[0].tags.shape[1])
    for j in order:
        person = assign(people, candidates[j])
        joined = np.flatnonzero(person >= 0)
        people.join(j, candidates[j], joined, person[joined])
        people.begin(j, candidates[j], np.flatnonzero(person < 0))
    return people.found


def by_tags_and_places(
    people: Groups, peaks: Candidates, max_people: int, tag_threshold: float, nearby: float, side: int
) -> np.ndarray:
    """A rule for :func:`match`: a peak joins a person only if it is at most ``nearby`` extents away from them.

    An extent is the longer side of what was found of a person. Of the peaks and people that are possible, high scores
    go to people with high scores first; of like scores, the nearer tag counts.

    Args:
        side: the map's short side, in pixels.
    """
    person = np.full(len(peaks.score), -1)
    if len(people.found):
        cost = people.cost(peaks, max_people, tag_threshold, nearby, LEAST_EXTENT * side)
        rows, columns = linear_sum_assignment(cost)
        possible = cost[rows, columns] < IMPOSSIBLE
        person[rows[possible]] = columns[possible]
    return person
