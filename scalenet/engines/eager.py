"""PyTorch itself: layer by layer, or compiled by torch.compile."""

from __future__ import annotations

import torch

from ..nn.fuse import Folded
from ..runtime.parallel import parallel_forward
from .base import Outputs


class TorchEngine:
    """A folded network in PyTorch, channels last; on a processor the images of a batch run side by side.

    Args:
        dtype: the name of a floating-point type.
        compiled: through torch.compile, which makes code for a size when it first meets it, for about a minute.
    """

    def __init__(self, network: Folded, dtype: str, compiled: bool = False) -> None:
        self.name, self.dtype = "compile" if compiled else "torch", dtype
        self._dtype = getattr(torch, dtype)
        self._network = network.in_dtype(self._dtype)
        self._compiled = torch.compile(self._network) if compiled else None

    def forward(self, x: torch.Tensor) -> Outputs:
        """The outputs, all images together."""
        run = self._network if self._compiled is None else self._compiled  # which has no truth value
        if self._network.centre is None:
            x = x.to(self._dtype)
        return tuple(y.float() for y in run(x.contiguous(memory_format=torch.channels_last)))

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for (B, in_chans, H, W) images."""
        if self._compiled is None:
            return parallel_forward(self.forward, x)
        with torch.inference_mode():
            return self.forward(x)
