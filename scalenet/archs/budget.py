"""Budgets of a network: limits as people write them ("1.5G" multiply-adds, "8ms"), parsed in one place."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

POWERS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
COUNT = re.compile(rf"({NUMBER})\s*([kmgt]?)", re.I)
TIME = re.compile(rf"({NUMBER})\s*(ms|s|)", re.I)

Limit = int | float | str


class BudgetError(ValueError):
    """An invalid limit, or one that no network meets."""


def parse_count(limit: Limit) -> int:
    """A count as an int: 1_500_000_000, 1.5e9 or "1.5G" (k, M, G, T).

    Raises:
        BudgetError: for anything else, or a number below 1.
    """
    found = COUNT.fullmatch(str(limit).strip())
    value = float(found[1]) * POWERS[found[2].lower()] if found else math.nan
    if isinstance(limit, bool) or not 1 <= value < math.inf:
        raise BudgetError(
            f'a number from 1 is needed, for example 1500000000, 1.5e9 or "1.5G", got {str(limit)[:40]!r}'
        )
    return int(value)


def parse_milliseconds(limit: Limit) -> float:
    """A time in milliseconds: 8, "8ms" or "0.008s".

    Raises:
        BudgetError: for anything else, or a time that is not above 0.
    """
    found = TIME.fullmatch(str(limit).strip())
    value = float(found[1]) * (1000 if found[2].lower() == "s" else 1) if found else math.nan
    if isinstance(limit, bool) or not 0 < value < math.inf:
        raise BudgetError(f'a time above 0 is needed, for example 8, "8ms" or "0.008s", got {str(limit)[:40]!r}')
    return value


def short_count(value: int) -> str:
    """``value`` with three digits and a power, rounded up: 1234567 is "1.24M"."""
    power = next((p for p in "tgmk" if value >= POWERS[p]), "")
    scaled = value / POWERS[power]
    digits = max(0, 2 - int(math.log10(scaled))) if scaled >= 1 else 2
    return f"{math.ceil(scaled * 10**digits - 1e-9) / 10**digits:g}{power.upper() if power != 'k' else power}"


@dataclass(frozen=True)
class Budget:
    """Joint limits: multiply-adds, parameters, milliseconds per image; None is no limit. Falsy without any."""

    max_macs: int | None = None
    max_params: int | None = None
    max_latency_ms: float | None = None

    @classmethod
    def of(
        cls, max_macs: Limit | None = None, max_params: Limit | None = None, max_latency_ms: Limit | None = None
    ) -> Budget:
        """Parse limits as people write them.

        Raises:
            BudgetError: naming the invalid limit.
        """
        given = {"max_macs": (max_macs, parse_count), "max_params": (max_params, parse_count),
                 "max_latency_ms": (max_latency_ms, parse_milliseconds)}  # fmt: skip
        values: dict[str, Any] = {}
        for name, (limit, parse) in given.items():
            try:
                values[name] = None if limit is None else parse(limit)
            except BudgetError as e:
                raise BudgetError(f"{name}: {e}") from None
        return cls(**values)

    def __bool__(self) -> bool:
        return self != Budget()

    def allows(self, macs: int, params: int) -> bool:
        """Whether a network's multiply-adds and parameters are within the limits; latency is not checked."""
        return macs <= (self.max_macs or math.inf) and params <= (self.max_params or math.inf)
