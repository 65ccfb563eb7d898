"""Ctrl-C and a polite kill end a run after its present step, so that nothing learned is lost."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM came, and what was to be written is."""


class Interrupt:
    """While entered, the first SIGINT or SIGTERM is kept in ``asked``; a second one acts as it did before.

    Args:
        deferred: False where there is nothing to wait for: then the first one raises at once.
    """

    def __init__(self, deferred: bool = True) -> None:
        self.asked, self.deferred = 0, deferred
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Interrupt:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        self.asked = number
        if not self.deferred:
            raise stopped_by(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()


def stopped_by(number: int) -> KeyboardInterrupt:
    """What to raise when a signal has ended a run."""
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()


def leave_signals_to_the_run(worker: int) -> None:
    """Let a loader's worker outlive the signals that its whole process group gets: the run ends it when it is done.

    A second SIGTERM ends it, as it would the run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
