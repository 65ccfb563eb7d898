"""How long the members of a front take on this machine: few are timed, and what was found is kept."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

from ..budget import BudgetError
from ..data.io import write_text
from ..runtime.device import Device, pick_device
from .front import Front, Member
from .graph import cache_folder

Item = TypeVar("Item")
SECONDS = 0.5  # that one member is timed for
KEPT = 4096  # times in the cache's file


def cache_file() -> Path:
    """Where times are kept: ``latency.json`` in the user's cache."""
    return cache_folder() / "latency.json"


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


def within(front: Front, members: Sequence[Member], limit: float, device: Device = None) -> Sequence[Member]:
    """Those of ``members`` (the least multiply-adds first) that take at most ``limit`` milliseconds on ``device``.

    Raises:
        BudgetError: if the first takes longer; says how long.
    """
    clock = LatencyClock(front, pick_device(device))
    fit = up_to(members, limit, clock)
    if not fit:
        need = math.ceil(10 * clock(members[0])) / 10
        what = f'the smallest needs max_latency_ms="{need:g}ms" on {clock.device}'
        raise BudgetError(f"no member of {front.name} is that fast here: {what}")
    return fit


class LatencyClock:
    """Milliseconds of a front's members on one device, for one image; each is timed once on a machine."""

    def __init__(self, front: Front, device: torch.device) -> None:
        self.front, self.device = front, device
        self.machine = machine(device)
        self.timed: dict[str, float] = {}

    def __call__(self, member: Member) -> float:
        """Milliseconds of a member."""
        key = f"{self.front.digest[:16]} {member.name} {self.machine}"
        known = {**_read(), **self.timed}
        if key not in known:
            from ..bench import bench

            self.timed[key] = bench(self.front.extract(member), device=self.device, seconds=SECONDS)["ms"]
            _keep(self.timed)
            return self.timed[key]
        return known[key]


def machine(device: torch.device) -> str:
    """What a time depends on beside the network."""
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"{platform.node()} {platform.machine()} {device.type}"
    return f"{name} threads={torch.get_num_threads()} torch={torch.__version__}"


def _read() -> dict[str, float]:
    """The times kept; none where the file is missing or anything else."""
    with suppress(OSError, ValueError, RecursionError):
        said = json.loads(cache_file().read_text(encoding="utf-8"))
        if isinstance(said, dict):
            return {k: float(v) for k, v in said.items() if isinstance(v, (int, float)) and 0 < v < math.inf}
    return {}


def _keep(timed: dict[str, float]) -> None:
    """Add to the file what was timed; a machine without a cache to write to times anew."""
    known = {**_read(), **timed}
    with suppress(OSError):
        write_text(cache_file(), json.dumps(dict(list(known.items())[-KEPT:])))
