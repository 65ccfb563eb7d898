"""A module of an architecture as a plain value, and the checks shared by all architecture values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32  # far above any published network

Sources = tuple[int, ...]


class ArchError(ValueError):
    """An architecture that is malformed or does not belong to its search space."""


def whole_number(value: Any, low: int, high: int, what: str) -> int:
    """``value`` as an int from ``low`` to ``high``.

    Raises:
        ArchError: for anything else; ``what`` names it.
    """
    try:
        whole = low - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = low - 1
    if not low <= whole <= high:
        raise ArchError(f"{what} must be a whole number from {low} to {high}, got {str(value)[:40]}")
    return whole


def checked_list(value: Any, length: int | None, what: str) -> list:
    """``value`` as a list, of ``length`` if that is given.

    Raises:
        ArchError: for anything else; ``what`` names it.
    """
    if not isinstance(value, (list, tuple)) or (length is not None and len(value) != length):
        expected = "a list" if length is None else f"a list of {length}"
        raise ArchError(f"{what} must be {expected}, got {str(value)[:60]}")
    return list(value)


@dataclass(frozen=True)
class ModuleArch:
    """One multi-resolution module: a depth per branch, and the sources per target branch and step."""

    depths: tuple[int, ...]
    fusions: tuple[tuple[Sources, ...], ...]

    def __post_init__(self) -> None:
        n = len(self.depths)
        depths = tuple(whole_number(d, 1, MAX_DEPTH, "a depth") for d in self.depths)
        rows = checked_list(self.fusions, n, "fusions")
        fusions = tuple(self._row(j, depths[j], row, n) for j, row in enumerate(rows))
        object.__setattr__(self, "depths", depths)
        object.__setattr__(self, "fusions", fusions)

    @classmethod
    def build(cls, branches: int, depth: Callable[[int], int], enabled: Callable[[int, int, int], bool]) -> ModuleArch:
        """A module from two rules: ``depth(branch)`` and ``enabled(target, step, source)``."""
        depths = tuple(depth(j) for j in range(branches))
        fusions = tuple(
            tuple(tuple(k for k in range(branches) if k != j and enabled(j, d, k)) for d in range(depths[j]))
            for j in range(branches)
        )
        return cls(depths, fusions)

    @staticmethod
    def _row(target: int, depth: int, row: Any, branches: int) -> tuple[Sources, ...]:
        steps = checked_list(row, depth, f"fusions of branch {target} (depth {depth})")
        return tuple(
            tuple(
                sorted(
                    {
                        whole_number(k, 0, branches - 1, "a fusion source")
                        for k in checked_list(s, None, "fusion sources")
                    }
                    - {target}
                )
            )
            for s in steps
        )

    @property
    def steps(self) -> int:
        """Number of block and fusion steps of the module: its largest depth."""
        return max(self.depths)

    def sources(self, target: int, step: int) -> Sources:
        """Sources added to ``target`` at ``step``; none at or past the branch's depth."""
        return self.fusions[target][step] if step < self.depths[target] else ()

    def contains(self, other: ModuleArch) -> bool:
        """Whether every block and path of ``other`` is also here."""
        return all(d <= e for d, e in zip(other.depths, self.depths, strict=True)) and all(
            set(other.sources(j, d)) <= set(self.sources(j, d))
            for j in range(len(self.depths))
            for d in range(other.depths[j])
        )
