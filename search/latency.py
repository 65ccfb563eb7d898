"""How long a sub-network takes here: an objective of a search beside multiply-adds and parameters."""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from scalenet.fuse import fold

MIN_RUNS = 5


@dataclass(frozen=True)
class Timing:
    """What is timed: PyTorch without a graph, BatchNorm folded, ``batch`` images at once, float32, float16 or bfloat16
    weights, for about ``seconds``.
    """

    batch: int = 1
    dtype: str = "float32"
    seconds: float = 1.0

    def described(self, device: torch.device) -> str:
        """Everything but the architecture and its size that a time depends on."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
        threads = "" if device.type == "cuda" else f", {torch.get_num_threads()} threads"
        return f"torch {torch.__version__} on {name}{threads}, batch {self.batch}, {self.dtype}"


@torch.inference_mode()
def measure_latency(network: nn.Module, size: tuple[int, int], device: torch.device, timing: Timing) -> float:
    """The median time of a batch of (H, W) images."""
    dtype = getattr(torch, timing.dtype)
    network = fold(network).to(device, dtype).to(memory_format=torch.channels_last)
    x = torch.rand(timing.batch, 3, *size, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    network(x)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < MIN_RUNS or time.perf_counter() - begun < timing.seconds:
        started = time.perf_counter()
        network(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)
