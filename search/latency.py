"""How long a sub-network takes here: an objective of a search beside multiply-adds and parameters."""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass

import torch

from scalenet.engines.base import make_engine
from scalenet.engines.choose import time_in_turn
from scalenet.fuse import Folded, fold
from scalenet.network import ScaleNet


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
def measure_latency(network: ScaleNet, size: tuple[int, int], device: torch.device, timing: Timing) -> float:
    """The median time of a batch of (H, W) images."""
    folded = Folded(fold(network).to(device))
    engine = make_engine(folded, "torch", timing.dtype)
    times = time_in_turn({timing.dtype: engine}, folded.example(timing.batch, size), timing.seconds)
    return statistics.median(times[timing.dtype])
