"""How long the members of a front take on this machine: few are timed, and what was found is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from ..archs.budget import BudgetError
from ..models.preprocessing import model_input
from ..nn.fuse import Folded, fold
from ..nn.network import ScaleNet
from ..runtime.device import Device
from .base import engine_device
from .cache import remember, remembered
from .choose import Size, median_ms, start_engine
from .front import Front, Member
from .machine import machine

Item = TypeVar("Item")
SECONDS = 0.5  # that one member is timed for
FILE, KEPT = "latency.json", 4096  # in the user's cache, and times in it


def up_to(items: Sequence[Item], limit: float, ms: Callable[[Item], float]) -> Sequence[Item]:
    """The items before the first that takes longer than ``limit``, found by bisection: ``ms`` rises along them."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if ms(items[middle]) <= limit:
            low = middle + 1
        else:
            high = middle
    return items[:low]


def network_ms(
    network: ScaleNet, device: torch.device, engine: str = "torch", dtype: str | None = None, size: Size | None = None
) -> float:
    """Median milliseconds of a network alone for one image, as the predictors run it.

    Args:
        engine, dtype: as in :func:`~scalenet.engines.choose.start_engine`.
        size: (H, W); default the network's input size.

    Raises:
        EngineError, ImportError: if the engine cannot run it, or its package is missing.
    """
    folded, size = Folded(fold(network).to(device)), size or model_input(network)[0]
    return median_ms(start_engine(folded, engine, dtype, size), folded, size, SECONDS)


def within(
    front: Front,
    members: Sequence[Member],
    limit: float,
    device: Device = None,
    engine: str = "torch",
    dtype: str | None = None,
) -> Sequence[Member]:
    """Those of ``members`` (the least multiply-adds first) that take at most ``limit`` milliseconds on ``device``.

    Args:
        engine, dtype: what they are timed in, see :func:`network_ms`.

    Raises:
        BudgetError: if the first takes longer; says how long.
        EngineError, ImportError: as :func:`network_ms`.
    """
    clock = LatencyClock(front, engine_device(device, engine), engine, dtype)
    fit = up_to(members, limit, clock)
    if not fit:
        need = math.ceil(10 * clock(members[0])) / 10
        what = f'the smallest needs max_latency_ms="{need:g}ms" on {clock.where}'
        raise BudgetError(f"no member of {front.name} is that fast here: {what}")
    return fit


class LatencyClock:
    """Milliseconds of a front's members for one image; each is timed once on a machine, in an engine and a dtype."""

    def __init__(self, front: Front, device: torch.device, engine: str = "torch", dtype: str | None = None) -> None:
        self.front, self.device, self.engine, self.dtype = front, device, engine, dtype
        self.where = str(device) if engine == "torch" else f"{device} by {engine}"
        self.how = f"{engine} {dtype or 'own'} {machine(device)}"
        self.timed: dict[str, float] = {}

    def __call__(self, member: Member) -> float:
        """Milliseconds of a member."""
        key = f"{self.front.digest[:16]} {member.name} {self.how}"
        known = self.timed.get(key) or remembered(FILE).get(key)
        if not isinstance(known, (int, float)) or not 0 < known < math.inf:
            known = network_ms(self.front.extract(member), self.device, self.engine, self.dtype)
            self.timed[key] = known  # also where nothing can be kept
            remember(FILE, {key: known}, KEPT)
        return known
