"""How long a sub-network takes here: an objective of a search beside multiply-adds and parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scalenet.engines.base import make_engine
from scalenet.engines.choose import median_ms
from scalenet.engines.machine import machine
from scalenet.nn.fuse import Folded, fold
from scalenet.nn.network import ScaleNet


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
        return f"{machine(device, ('torch',))}, batch {self.batch}, {self.dtype}"


def measure_latency(network: ScaleNet, size: tuple[int, int], device: torch.device, timing: Timing) -> float:
    """The median time of a batch of (H, W) images."""
    folded = Folded(fold(network).to(device))
    engine = make_engine(folded, "torch", timing.dtype)
    return median_ms(engine, folded, size, timing.seconds, timing.batch)
