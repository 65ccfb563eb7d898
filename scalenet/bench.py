"""Latency of a network, in one or several engines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .engines.base import Engine, EngineError, Images, make_engine
from .engines.calibration import CalibrationImages, calibration_inputs
from .engines.choose import time_in_turn
from .engines.names import DTYPES, ENGINES
from .models.preprocessing import model_input
from .nn.fuse import Folded, fold
from .nn.network import ScaleNet
from .runtime.device import Device, pick_device

SIDE = 1024  # of the matrices whose product tells what the processor can do
Pair = tuple[str, str]  # engine, dtype
PAIRS: tuple[Pair, ...] = (
    ("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32"), ("openvino", "float32"),
    ("openvino", "bfloat16"),
)  # fmt: skip
INT8_PAIRS: tuple[Pair, ...] = (("onnxruntime", "int8"), ("openvino", "int8"))


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

    Reading, resizing, postprocessing and drawing are not included.

    Args:
        size: (H, W); default the network's input size.
        device: default: the first available of cuda, mps and cpu.
        seconds: duration of the measurement, with at least 3 runs.
        engine, dtype: inference engine and precision, see :func:`scalenet.engines.base.make_engine`.

    Returns:
        engine, dtype, ms (median), ms_min, runs, params, macs (convolution multiply-adds at this size), gmacs_per_s (of
        the fastest run), matmul_share (that rate relative to a 1024x1024 matrix product in PyTorch in the same dtype,
        which Winograd convolutions may exceed; None for int8), size [H, W], batch_size, device,
        threads.

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
    calibration: CalibrationImages | None = None,
) -> list[dict[str, Any]]:
    """:func:`bench` for several (engine, dtype) pairs, timed alternately in one run; ``ms`` is the time per batch.

    Args:
        pairs: default all of :data:`PAIRS`, and with ``calibration`` :data:`INT8_PAIRS`.
        seconds: duration of each measurement.
        refused: called with a message for each pair that cannot run here, which is skipped; default: raise.
        calibration: images, or a folder of them, for int8.
    """
    device, (own_size, statistics) = pick_device(device), model_input(model)
    size = size or own_size
    network = Folded(fold(model).to(device), statistics=statistics)
    images = None if calibration is None else partial(calibration_inputs, model, own_size, calibration)
    engines = _engines(network, pairs or PAIRS + INT8_PAIRS * (images is not None), refused, images)
    products: dict[Pair, Engine] = {("matmul", d): MatrixProduct(d, device) for _, d in engines if d != "int8"}
    x = network.example(batch_size, size)
    with torch.inference_mode():
        times = time_in_turn({**engines, **products}, x, seconds * len(engines))
    facts = {
        "size": list(size), "batch_size": batch_size, "device": str(device), "threads": torch.get_num_threads(),
    }  # fmt: skip
    return [_row(pair, times, model, facts) for pair in engines]


def _row(pair: Pair, times: Mapping[Pair, list[float]], model: ScaleNet, facts: dict[str, Any]) -> dict[str, Any]:
    (name, dtype), ms, least = pair, times[pair], min(times[pair])
    cost = model.cost(facts["size"])
    rate = facts["batch_size"] * cost.macs / least / 1e6
    product = SIDE**3 / min(times["matmul", dtype]) / 1e6 if ("matmul", dtype) in times else None
    return {
        "engine": name, "dtype": dtype, "ms": round(statistics.median(ms), 3), "ms_min": least, "runs": len(ms),
        "params": cost.params, "macs": cost.macs, "gmacs_per_s": round(rate, 2),
        "matmul_share": product and round(rate / product, 3), **facts,
    }  # fmt: skip


def _engines(
    network: Folded, pairs: Sequence[Pair], refused: Callable[[str], object] | None, images: Images | None
) -> dict[Pair, Engine]:
    engines: dict[Pair, Engine] = {}
    for pair in pairs:
        try:
            engines[pair] = make_engine(network, *pair, images if pair[1] == "int8" else None)
        except (EngineError, ImportError) as e:
            if refused is None:
                raise
            refused(str(e))
    return engines


class MatrixProduct:
    """Stands among the engines and multiplies two matrices instead."""

    name = "matmul"

    def __init__(self, dtype: str, device: torch.device) -> None:
        self.dtype = dtype
        self._a = torch.rand(SIDE, SIDE, device=device).to(getattr(torch, dtype))

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The product; ``x`` plays no part."""
        return (self._a @ self._a,)


def parse_pairs(text: str, int8: bool = False) -> list[Pair]:
    """Read "all" (with ``int8``: those too), or "torch,openvino:bfloat16" as pairs; float32 where no dtype is given.

    Raises:
        ValueError: for another engine.
    """
    if text == "all":
        return list(PAIRS + INT8_PAIRS * int8)
    parts = [(part + ":float32").split(":") for part in text.split(",")]
    pairs = [(name, dtype) for name, dtype, *_ in parts]
    for name, dtype in pairs:
        if name not in ENGINES[1:] or dtype not in DTYPES[1:]:
            known = ", ".join(ENGINES[1:])
            raise ValueError(f"--engines: all, or {known}, each with :bfloat16 or :int8 if wanted, not {name}:{dtype}")
    return pairs


def shown_share(row: dict[str, Any]) -> str:
    """A row's ``matmul_share``, "-" where there is none."""
    return "-" if row["matmul_share"] is None else f"{row['matmul_share']:.2f}"


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
            f"{row['gmacs_per_s']:.1f} | {shown_share(row)} |"
        )
    return "\n".join(lines) + "\n"
