"""How long a network takes for one image."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from .fuse import fold
from .models.preprocessing import model_input
from .network import ScaleNet
from .runtime.device import pick_device


@torch.inference_mode()
def bench(
    model: ScaleNet,
    size: tuple[int, int] | None = None,
    device: str | torch.device | None = None,
    seconds: float = 3.0,
) -> dict[str, Any]:
    """Time a network on single random images, as the predictors run it: BatchNorm folded into the convolutions.

    What reading, resizing, decoding and drawing take is not part of it.

    Args:
        size: (H, W); default the network's input size.
        device: default cuda, mps or cpu, the first there is.
        seconds: how long to measure, at least 3 runs.

    Returns:
        ms (median), ms_min, runs, params, macs (convolution multiply-adds at this size), size [H, W], device, threads.
    """
    device, size = pick_device(device), size or model_input(model)[0]
    model = fold(model).to(device).to(memory_format=torch.channels_last)
    x = torch.rand(1, model.in_chans, *size, device=device).contiguous(memory_format=torch.channels_last)
    for _ in range(2):
        model(x)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < seconds:
        _wait(device)
        start = time.perf_counter()
        model(x)
        _wait(device)
        times.append(1000 * (time.perf_counter() - start))
    cost = model.cost(size)
    return {
        "ms": round(statistics.median(times), 3), "ms_min": round(min(times), 3), "runs": len(times),
        "params": cost.params, "macs": cost.macs, "size": list(size), "device": str(device),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
