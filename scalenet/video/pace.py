"""Keep a frame rate by switching between the members of a front, based on measured frame times."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..engines.front import Front
from ..nn.network import ScaleNet
from ..runtime.pipeline import neighbours
from .process import Estimator

WINDOW = 5  # batches of a member that are timed before anything is decided; its first one is not, it warms up
UP = 0.9  # of the time there is: what a dearer member may need at most to be tried
PATIENCE = 200  # batches in peace until what dearer members needed is forgotten; doubled each time


class Pace:
    """Selects, while they run, the most expensive of several networks that stays within a time limit.

    It starts with the cheapest. A network that exceeds ``limit`` is replaced by the most expensive one that should keep
    it; a more expensive one is tried only if it should need at most 0.9 of ``limit``, to avoid oscillation. Times are
    predicted from ``costs`` until a network has run, then from its time relative to its predecessor's.

    Args:
        costs: one per network, ascending, in any unit.
        limit: milliseconds per frame.

    Attributes:
        current: the index of the network to run.
    """

    def __init__(self, costs: Sequence[float], limit: float) -> None:
        self._guessed, self._costs = tuple(costs), list(costs)
        self.limit, self.current = limit, 0
        self._load: float | None = None  # milliseconds a unit of cost when the present network was chosen
        self._patience = PATIENCE
        self._begin()

    def _begin(self) -> None:
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._run = 0

    def took(self, ms: float) -> int:
        """Report the current network's time per frame for a batch; returns the network to run next."""
        self._run += 1
        if self._run > 1:
            self._times.append(ms)
        if len(self._times) == WINDOW:
            self._decide(statistics.median(self._times))
        return self.current

    def _decide(self, now: float) -> None:
        if self._load is not None:
            self._costs[self.current], self._load = now / self._load, None
        load = now / self._costs[self.current]
        if self._run > self._patience:
            self._forget()
        most = self.limit if now > self.limit else UP * self.limit
        fit = [i for i, cost in enumerate(self._costs) if load * cost <= most]
        best = max(fit, default=0)
        if (best > self.current) if now <= self.limit else (best != self.current):
            self.current, self._load = best, load
            self._begin()

    def _forget(self) -> None:
        """What was dearer once may not be so for ever: another program may have slowed it."""
        scale = self._costs[self.current] / self._guessed[self.current]
        dearer = range(self.current + 1, len(self._costs))
        for i in dearer:
            self._costs[i] = scale * self._guessed[i]
        self._run, self._patience = 1, 2 * self._patience


class PacedEstimator:
    """Runs the frames of a video or camera through the most expensive member of a front that keeps a frame rate.

    The estimator's work on a frame is timed, including the detector; waiting for frames, drawing and encoding are not.
    Every frame gets a result, in order.

    Args:
        front: a front, or its name, see :class:`scalenet.Front`.
        target_fps: frames per second.
        make: makes an estimator of a member's network, such as :class:`~scalenet.Segmenter`, or
            ``functools.partial(scalenet.Segmenter, engine="openvino")``; called once for each member that runs. Frames
            run in batches of its ``batch_size``, which should be 1 for a camera.
        clock: returns the time in seconds.

    Attributes:
        frames_by_member: number of frames per member, by name, in order of first use.

    Raises:
        ValueError: for an invalid rate.
        LookupError, OSError, WeightsError: as :class:`scalenet.Front`.
    """

    def __init__(
        self,
        front: str | Path | Front,
        target_fps: float,
        make: Callable[[ScaleNet], Estimator],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not 0 < target_fps < math.inf:
            raise ValueError(f"target_fps must be above 0, for example 15, got {target_fps}")
        self.front = front if isinstance(front, Front) else Front(front)
        self.pace = Pace([m.macs for m in self.front.members], 1000 / target_fps)
        self.frames_by_member: Counter[str] = Counter()
        self._make, self._clock = make, clock
        self._made: dict[int, Estimator] = {0: make(self.front.extract(self.front.members[0]))}

    @property
    def batch_size(self) -> int:
        """Number of frames that run together."""
        return getattr(self._made[0], "batch_size", 1)

    def stream(self, images: Iterable[np.ndarray]) -> Iterator[Any]:
        """Yield one result per image, in order; images are consumed ``batch_size`` at a time."""
        for group in neighbours(images, self.batch_size, lambda _: None):
            member, estimator = self.front.members[self.pace.current], self._estimator(self.pace.current)
            started = self._clock()
            results = list(estimator.stream(group))
            self.pace.took(1000 * (self._clock() - started) / len(group))
            self.frames_by_member[member.name] += len(group)
            yield from results

    def _estimator(self, index: int) -> Estimator:
        if index not in self._made:
            self._made[index] = self._make(self.front.extract(self.front.members[index]))
        return self._made[index]
