"""The metrics of the documentation, made again: ``python -m benchmarks``; one script: ``python -m benchmarks.segment``.

A script is a module here with ``measure(argv) -> list[Figure]`` that ends in ``show(measure)`` when it is run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One measured number and the bound it should keep, if there is one."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    def row(self) -> str:
        """A line of the table."""
        low, high = self.at_least, self.at_most
        bound = f"at most {high:g}" if high is not None else f"at least {low:g}" if low is not None else ""
        kept = (high is None or self.value <= high) and (low is None or self.value >= low)
        return f"{self.name:58} {self.value:>10.3f} {self.unit:10} {bound:14} {'' if kept else 'MISSED'}".rstrip()


def show(measure: Callable[[list[str]], list[Measurement]]) -> None:
    """Run a script on the command line's arguments and print its rows."""
    for metric in measure(sys.argv[1:]):
        print(metric.row(), flush=True)
