"""Scores in mid-run: when they are due, whether they still rise, and when a run that gets worse ends."""

from __future__ import annotations

import time

from .budget import Clock
from .config import Recipe


class Validations:
    """The scores of a run so far.

    Args:
        best: the score to beat, for example the start's; minus infinity where there is none.

    Attributes:
        worse: how many scores in a row were not above the best.
    """

    def __init__(self, recipe: Recipe, best: float = float("-inf")) -> None:
        self.recipe, self.best = recipe, best
        self.worse, self.parts = 0, 0
        self.last = time.monotonic()

    def begin(self, clock: Clock) -> None:
        """The run begins, or goes on, here."""
        self.last, self.parts = time.monotonic(), self._part(clock)

    def due(self, clock: Clock) -> bool:
        """Whether the network is to be scored now."""
        every = self.recipe.run.validate_minutes
        if every and time.monotonic() - self.last > 60 * every:
            return True
        return not clock.over and self._part(clock) > self.parts

    def add(self, score: float, clock: Clock) -> None:
        """A score, of the network as it is now."""
        self.last, self.parts = time.monotonic(), self._part(clock)
        self.worse = 0 if score > self.best else self.worse + 1
        self.best = max(self.best, score)

    @property
    def hopeless(self) -> bool:
        """Whether so many scores in a row were no better that the run is to end."""
        return 0 < self.recipe.run.patience <= self.worse

    def _part(self, clock: Clock) -> int:
        """How many of the run's parts are over; 0 while it is not known how long it is."""
        return int(clock.progress * self.recipe.run.validations)
