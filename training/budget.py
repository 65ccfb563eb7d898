"""How long a run is: a number of steps from the start, or one found for its minutes by a timed start.

Once the number is known, progress and the images' sizes are functions of the step alone, so that a run that was
killed and resumed is the run that was not. (H, W) sizes.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from statistics import fmean

from . import distributed
from .config import Recipe
from .data import Size
from .sampling import cycle_length

WARM_UP = 5  # steps that are slower than those to come, and not timed
TIMED_STEPS, TIMED_SECONDS = 20, 10.0  # of each size in use, at least
MOST = 0.2  # of the minutes, for the timed start


class Clock:
    """Where a run is. ``step`` is the next one, ``planned`` the number that fits into the minutes, 0 until it is known.

    In the timed start progress stays 0 (where the recipe limits the steps: goes by them), and the sizes in use take
    turns, each for a whole cycle of architectures.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.schedule, self.seed, self.step, self.planned = recipe.schedule, recipe.run.seed, 0, 0
        self.before, self.started = 0.0, time.monotonic()
        self.block = cycle_length(recipe.space) if recipe.mode == "supernet" else 1

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, resumes included."""
        return self.before + time.monotonic() - self.started

    @property
    def timing(self) -> bool:
        """Whether it is not known yet how many steps fit into the minutes."""
        return bool(self.schedule.minutes) and not self.planned

    @property
    def total(self) -> int:
        """Number of steps of the run, 0 if it is not known yet."""
        return min(filter(None, (self.schedule.steps, self.planned)), default=0)

    @property
    def over(self) -> bool:
        """Whether no step is left."""
        return bool(self.total) and self.step >= self.total

    @property
    def progress(self) -> float:
        """How far the run is, 0..1."""
        return self.progress_at(self.step)

    def progress_at(self, step: int) -> float:
        """How far the run is at a step, 0..1."""
        return min(1.0, step / self.total) if self.total else 0.0

    def late_sizes(self) -> tuple[Size, ...]:
        """What a step draws from when the early share is over."""
        return (self.schedule.size, *self.schedule.sizes)

    def sizes(self) -> list[Size]:
        """The different sizes of the run."""
        early, late = self.schedule.early, self.late_sizes()
        used = (*((self.schedule.early_size,) if early else ()), *(late if early < 1 else ()))
        return list(dict.fromkeys(used))

    def size(self, step: int) -> Size:
        """Image size of a step, whenever it is asked for."""
        late = self.late_sizes()
        if self.timing:
            used = self.sizes()
            return used[step // self.block % len(used)]
        if self.progress_at(step) < self.schedule.early:
            return self.schedule.early_size
        return late[random.Random(f"{self.seed}/size/{step}").randrange(len(late))]

    def plan(self, timer: Timer) -> None:
        """Fix the number of steps if the timed start has lasted long enough; all ranks agree on it."""
        fits, schedule = 0, self.schedule
        spent = self.elapsed / 60 / schedule.minutes
        if spent >= MOST or (self.step % self.block == 0 and timer.enough(self.sizes())):
            early, late = timer.mean([schedule.early_size]), timer.mean(self.late_sizes())
            left = 60 * schedule.minutes - self.elapsed
            fits = max(1, self.step, schedule.least_steps, fitting(self.step, left, schedule.early, early, late))
        self.planned = int(distributed.agree(fits))

    def resume(self, step: int, elapsed: float, planned: int | None, minutes: float) -> None:
        """Go on from a checkpoint.

        Args:
            planned: the steps that fit into the checkpoint's ``minutes``; of other minutes it is as many more. None for
                one of the first form, which went by the minutes passed.
        """
        self.step, self.before = step, elapsed
        if planned is None:
            planned, minutes = step, elapsed / 60
        if planned and minutes and self.schedule.minutes:
            self.planned = max(1, round(planned * self.schedule.minutes / minutes))


class Timer:
    """Seconds that steps take, by image size and turn of the architectures' cycle."""

    def __init__(self, block: int) -> None:
        self.block, self.steps = block, 0
        self.seconds: dict[Size, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.last = time.monotonic()

    def tick(self, step: int, size: Size) -> None:
        """A step has ended."""
        now = time.monotonic()
        if self.steps == WARM_UP:
            self.seconds.clear()
        self.steps += 1
        self.seconds[size][step % self.block].append(now - self.last)
        self.last = now

    def enough(self, sizes: list[Size]) -> bool:
        """Whether every size has been timed for long."""
        times = [[s for turn in self.seconds[size].values() for s in turn] for size in sizes]
        return all(len(t) >= TIMED_STEPS and sum(t) >= TIMED_SECONDS for t in times)

    def mean(self, sizes: list[Size] | tuple[Size, ...]) -> float:
        """Mean seconds of a step of these sizes; of one that was not timed, by its pixels."""
        known = {size: fmean(map(fmean, turns.values())) for size, turns in self.seconds.items() if turns}
        by_pixel = fmean(seconds / (h * w) for (h, w), seconds in known.items())
        return fmean(known.get((h, w), h * w * by_pixel) for h, w in sizes)


def fitting(step: int, left: float, early: float, early_seconds: float, late_seconds: float) -> int:
    """How many steps a run has of which ``step`` are done and ``left`` seconds are left.

    Args:
        early: share of the steps that take ``early_seconds`` each; the others take ``late_seconds``.
    """
    total = (left + step * early_seconds) / (early * early_seconds + (1 - early) * late_seconds)
    return int(total if early * total > step else step + left / late_seconds)
