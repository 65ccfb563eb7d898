"""How long a network takes for one image, in one engine or several."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .engines.base import Engine, EngineError, make_engine
from .engines.choose import random_image, time_in_turn
from .engines.names import ENGINES
from .fuse import Folded, fold
from .models.preprocessing import model_input
from .network import ScaleNet
from .runtime.device import Device, pick_device

SIDE = 1024  # of the matrices whose product tells what the processor can do
Pair = tuple[str, str]  # engine, dtype
PAIRS: tuple[Pair, ...] = (
    ("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32"), ("openvino", "float32"),
    ("openvino", "bfloat16"),
)  # fmt: skip


def bench(
    model: ScaleNet,
    size: tuple[int, int] | None = None,
    device: Device = None,
    seconds: float = 3.0,
    *,
    engine: str = "torch",
    dtype: str = "float32",
) -> dict[str, Any]:
    """Time a network on single random images, as the predictors run it: BatchNorm folded into the convolutions.

    What reading, resizing, decoding and drawing take is not part of it.

    Args:
        size: (H, W); default the network's input size.
        device: default cuda, mps or cpu, the first there is.
        seconds: how long to measure, at least 3 runs.
        engine, dtype: what runs it, see :func:`scalenet.engines.base.make_engine`.

    Returns:
        engine, dtype, ms (median), ms_min, runs, params, macs (convolution multiply-adds at this size), gmacs_per_s (of
        the fastest run), matmul_share (that rate against a product of two 1024x1024 matrices in PyTorch in the same
        dtype, which convolutions by Winograd's method may exceed), size [H, W], batch_size, device, threads.

    Raises:
        EngineError, ImportError: if the engine cannot run it or is not installed.
    """
    return bench_engines(model, [(engine, dtype)], size, device, seconds)[0]


def bench_engines(
    model: ScaleNet,
    pairs: Sequence[Pair] | None = None,
    size: tuple[int, int] | None = None,
    device: Device = None,
    seconds: float = 3.0,
    batch_size: int = 1,
    refused: Callable[[str], object] | None = None,
) -> list[dict[str, Any]]:
    """A row as :func:`bench` gives for each (engine, dtype), timed in turn in one run; ``ms`` are of a whole batch.

    Args:
        pairs: default all of :data:`PAIRS`.
        seconds: how long to measure each.
        refused: told of each pair that cannot run here, which is left out; default: raise.
    """
    device, (height, width) = pick_device(device), size or model_input(model)[0]
    size = height, width
    network = Folded(fold(model).to(device))
    engines = _engines(network, pairs or PAIRS, refused)
    products: dict[Pair, Engine] = {
        ("matmul", dtype): _Product(dtype, device) for dtype in dict.fromkeys(d for _, d in engines)
    }
    x = random_image(network, size, batch_size)
    with torch.inference_mode():
        times = time_in_turn({**engines, **products}, x, seconds * len(engines))
    cost = model.cost(size)
    rows = []
    for name, dtype in engines:
        ms, least = times[name, dtype], min(times[name, dtype])
        rate, product = batch_size * cost.macs / least / 1e6, SIDE**3 / min(times["matmul", dtype]) / 1e6
        rows.append({
            "engine": name, "dtype": dtype, "ms": round(statistics.median(ms), 3), "ms_min": least, "runs": len(ms),
            "params": cost.params, "macs": cost.macs, "gmacs_per_s": round(rate, 2),
            "matmul_share": round(rate / product, 3), "size": list(size), "batch_size": batch_size,
            "device": str(device), "threads": torch.get_num_threads(),
        })  # fmt: skip
    return rows


def _engines(network: Folded, pairs: Sequence[Pair], refused: Callable[[str], object] | None) -> dict[Pair, Engine]:
    engines: dict[Pair, Engine] = {}
    for pair in pairs:
        try:
            engines[pair] = make_engine(network, *pair)
        except (EngineError, ImportError) as e:
            if refused is None:
                raise
            refused(str(e))
    return engines


class _Product:
    """Stands among the engines and multiplies two matrices instead."""

    name = "matmul"

    def __init__(self, dtype: str, device: torch.device) -> None:
        self.dtype = dtype
        self._a = torch.rand(SIDE, SIDE, device=device).to(getattr(torch, dtype))

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self._a @ self._a,)


def parse_pairs(text: str) -> list[Pair]:
    """Read "all", or "torch,openvino:bfloat16" as pairs; float32 where no dtype is given.

    Raises:
        ValueError: for another engine.
    """
    if text == "all":
        return list(PAIRS)
    parts = [(part + ":float32").split(":") for part in text.split(",")]
    pairs = [(name, dtype) for name, dtype, *_ in parts]
    for name, dtype in pairs:
        if name not in ENGINES[1:] or dtype not in ("float32", "bfloat16"):
            known = ", ".join(ENGINES[1:])
            raise ValueError(f"--engines: all, or {known}, each with :bfloat16 if wanted, not {name}:{dtype}")
    return pairs


def bench_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of :func:`bench_engines`, each with its network's ``name``, as a Markdown table; ``ratio`` is the fastest
    run against that of the first row of the same network and size.
    """
    lines = [
        "| network | input | batch | engine | ms, least | ms, median | ratio | GMACs/s | of matmul |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first: dict[Any, float] = {}
    for row in rows:
        base = first.setdefault((row["name"], *row["size"], row["batch_size"]), row["ms_min"])
        lines.append(
            f"| {Path(row['name']).name} | {row['size'][0]}x{row['size'][1]} | {row['batch_size']} | {row['engine']} "
            f"{row['dtype']} | {row['ms_min']:.1f} | {row['ms']:.1f} | {row['ms_min'] / base:.2f} | "
            f"{row['gmacs_per_s']:.1f} | {row['matmul_share']:.2f} |"
        )
    return "\n".join(lines) + "\n"
