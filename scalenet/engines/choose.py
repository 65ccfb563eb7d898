"""The fastest engine of this machine, found by trying; what was found is remembered in the user's cache."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from tqdm import tqdm

from ..nn.fuse import Folded
from .base import Engine, EngineError, Images, Running, check_engine, make_engine
from .cache import remember, remembered
from .graph import digest
from .machine import machine
from .names import DTYPES, ENGINES, ON_PROCESSORS

SECONDS = 3.0  # of trying, after all are warm
ROUNDS = 3, 30  # least and most
HOPELESS = 4.0  # times the best: not tried again after the first round
REMEMBERED = 200
FILE = "engines.json"
Size = tuple[int, int]


def start_engine(network: Folded, name: str, dtype: str | None, size: Size, images: Images | None = None) -> Running:
    """A folded network at work in an engine.

    Args:
        name: one of :data:`~scalenet.engines.base.ENGINES`. "auto": the fastest of those installed, see :func:`choose`;
            "compile" is not among them, because its first call takes about a minute.
        dtype: one of :data:`~scalenet.engines.base.DTYPES`, or None: that of the network's weights, and for "auto"
            any. "auto": the faster one.
        size: (H, W) that "auto" tries.
        images: what "int8" is calibrated with; None: the quantised graph that was kept. "auto" never takes int8 by
            itself.

    Raises:
        EngineError: for another name, or an engine that cannot run this network.
        ImportError: if its package is missing, with the way to install it.
    """
    if name not in ENGINES:
        raise EngineError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    dtypes = _dtypes(network, name, dtype)
    if images is not None and dtype != "int8":
        raise EngineError(f"images to calibrate with are for dtype int8, not {dtype or 'the default'}")
    tried = ON_PROCESSORS if dtype == "int8" else ("torch", *ON_PROCESSORS)
    names = tried if name == "auto" else (name,)
    if len(dtypes) == 1 and len(names) == 1:
        return Running(make_engine(network, names[0], dtypes[0], images), network)
    return Running(choose_engine(network, [(n, d) for d in dtypes for n in names], size, images), network)


def _dtypes(network: Folded, name: str, dtype: str | None) -> tuple[str, ...]:
    if dtype == "auto" or (dtype is None and name == "auto"):
        return "float32", "bfloat16"
    if dtype is None:
        return (network.dtype_name if name in ("torch", "compile") else "float32",)
    if dtype not in DTYPES:
        raise EngineError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return (dtype,)


def choose_engine(
    network: Folded, pairs: Sequence[tuple[str, str]], size: Size, images: Images | None = None
) -> Engine:
    """The fastest of some (engine, dtype) pairs for one image of ``size``.

    Those that are not installed, cannot run the network or compute something else than PyTorch in float32 (see
    :data:`~scalenet.engines.base.TOLERANCE`) are left out. The others are timed in turn for some seconds, and the
    choice is remembered for this machine, these versions, network, size and number of threads.

    Raises:
        EngineError: if none can run it.
    """
    key = _key(network, pairs, size)
    if known := remembered(FILE).get(key):
        with suppress(EngineError, ImportError, TypeError, KeyError):
            return make_engine(network, known["engine"], known["dtype"], images)
    engines = _ready(network, pairs, size, images)
    times = time_in_turn(engines, network.example(1, size), SECONDS, HOPELESS)
    best = min(times, key=lambda pair: min(times[pair]))
    found = {"engine": best[0], "dtype": best[1], "ms": {", ".join(p): min(t) for p, t in times.items()}}
    remember(FILE, {key: found}, REMEMBERED)
    return engines[best]


def _ready(
    network: Folded, pairs: Sequence[tuple[str, str]], size: Size, images: Images | None
) -> dict[tuple[str, str], Engine]:
    engines, refused = {}, []
    for name, dtype in tqdm(pairs, desc="trying engines", disable=None, leave=False):
        try:
            engines[name, dtype] = engine = make_engine(network, name, dtype, images)
            check_engine(engine, network, size)
        except Exception as e:  # PyTorch has others where a device does not know a type
            engines.pop((name, dtype), None)
            refused.append(str(e))
    if not engines:
        raise EngineError(f"no engine can run this network: {'; '.join(refused)}")
    return engines


def time_in_turn(
    engines: Mapping[Any, Engine], x: torch.Tensor, seconds: float, hopeless: float = math.inf
) -> dict[Any, list[float]]:
    """Milliseconds of each engine on ``x``, round by round, so that all see the same machine.

    Each runs twice before, untimed. Who is ``hopeless`` times slower than the best of a round is not run again.
    """
    for engine in engines.values():
        engine(x)
        engine(x)
    times: dict[Any, list[float]] = {key: [] for key in engines}
    begun, rounds, running = time.perf_counter(), 0, list(engines)
    while rounds < ROUNDS[0] or (rounds < ROUNDS[1] and time.perf_counter() - begun < seconds):
        for key in running:
            wait_for(x.device)
            started = time.perf_counter()
            engines[key](x)
            wait_for(x.device)
            times[key].append(round(1000 * (time.perf_counter() - started), 3))
        best, rounds = min(min(t) for t in times.values()), rounds + 1
        running = [key for key in running if min(times[key]) <= hopeless * best]
    return times


@torch.inference_mode()
def median_ms(engine: Engine, network: Folded, size: Size, seconds: float, batch: int = 1) -> float:
    """Milliseconds that an engine takes for a batch of random (H, W) images of the network it runs."""
    times = time_in_turn({engine.name: engine}, network.example(batch, size), seconds)
    return statistics.median(times[engine.name])


def wait_for(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _key(network: Folded, pairs: Sequence[tuple[str, str]], size: Size) -> str:
    facts = [machine(network.device), str(network.device), digest(network), list(size), sorted(pairs)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
