"""Who scores a generation: this process, all of ``torchrun``'s, or Ray's actors (:mod:`search.ray_actors`).

An executor is a context manager with ``map(archs, generation)``, which yields records as they are known, whatever their
order; it ends early where the search is asked to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from scalenet.archs.arch import Arch
from training import distributed

from .archive import Record
from .evaluator import Evaluator


class Executor(Protocol):
    """What a search needs of those who score."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def map(self, archs: Sequence[Arch], generation: int) -> Iterator[Record]:
        """Records of the architectures; fewer if the search is asked to stop."""


class Processes:
    """This process, or under ``torchrun`` all of them: each scores every n-th, and all know all records.

    Args:
        stop: whether the search is asked to end.
    """

    def __init__(self, evaluator: Evaluator, stop: Callable[[], bool]) -> None:
        self.evaluator, self.stop = evaluator, stop

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def map(self, archs: Sequence[Arch], generation: int) -> Iterator[Record]:
        """See :class:`Executor`."""
        rank, world = distributed.rank(), distributed.world_size()
        for start in range(0, len(archs), world):
            if distributed.agree(float(self.stop())):
                return
            group = archs[start : start + world]
            mine = self.evaluator.score(group[rank], generation).to_json() if rank < len(group) else ""
            yield from (Record.from_json(line) for line in distributed.gathered_objects(mine) if line)
