"""BatchNorm folding: an equivalent network for inference, 1.5 times as fast on CPUs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .merge import merge_paths
from .network import ScaleNet

Network = TypeVar("Network", bound=nn.Module)


def fold(model: Network) -> Network:
    """A copy in evaluation mode with every BatchNorm that follows a convolution folded into it.

    The copy is in channels-last memory format, equals the original up to rounding, and cannot be trained; its parameter
    names differ. Weights in half precision are folded in float32 and rounded once.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    for parent in list(model.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(norm, nn.BatchNorm2d):
                dtype = conv.weight.dtype
                wide = torch.promote_types(dtype, torch.float32)
                folded = fuse_conv_bn_eval(conv.to(wide), norm.to(wide), isinstance(conv, nn.ConvTranspose2d))
                setattr(parent, name, folded.to(dtype))
                setattr(parent, after, nn.Identity())
    return model


class Folded(nn.Module):
    """A folded network for engines and export: only what its head needs, with a plain tuple of outputs.

    Args:
        network: a network from :func:`fold`, which is not changed; weights are shared, see
            :func:`~scalenet.nn.merge.merge_paths`.
        full_size: resize logits to the input, as the network itself does; else they stay at stride 4.
        statistics: ``mean`` and ``std`` (of values 0..1) of the images. If given, inputs are RGB values 0..255, uint8
            or floating-point, and the division by ``std`` is folded into the first convolution. The mean is subtracted
            separately, because zero padding must correspond to the mean. The weights are left alone if the network is a
            subclass or its first convolution has hooks.
    """

    centre: torch.Tensor | None
    scale: torch.Tensor | None

    def __init__(
        self, network: ScaleNet, full_size: bool = False, statistics: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        super().__init__()
        self.network, self.full_size = merge_paths(network), full_size
        self.register_buffer("centre", None)
        self.register_buffer("scale", None)
        if statistics is not None:
            values = (torch.tensor(statistics[k], device=self.device).view(-1, 1, 1) for k in ("mean", "std"))
            self.centre, self.scale = (255 * v for v in values)
            self._fold_scale()

    def _fold_scale(self) -> None:
        assert self.scale is not None
        conv = self.network.conv1
        plain = type(self.network) is ScaleNet and not conv._forward_hooks and not conv._forward_pre_hooks
        if plain and self.scale is not None:
            self.network.conv1 = conv = copy.deepcopy(conv)
            conv.weight.copy_(conv.weight.float() / self.scale)
            self.scale = None

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The network's outputs for (B, in_chans, H, W) images."""
        if self.centre is not None:
            x = x.float() - self.centre
            x = (x if self.scale is None else x / self.scale).to(self.network.conv1.weight.dtype)
        resized = self.network.spec.full_size and not self.full_size
        y = self.network.forward_head(self.network.forward_features(x)) if resized else self.network(x)
        return (y,) if isinstance(y, torch.Tensor) else tuple(y)

    def example(self, batch: int, size: tuple[int, int]) -> torch.Tensor:
        """Random (H, W) images as its input, uint8 or normalised, the same at each call."""
        x = torch.randn(batch, self.in_chans, *size, generator=torch.Generator().manual_seed(0))
        return (x if self.centre is None else (128 + 50 * x).clamp(0, 255).to(torch.uint8)).to(self.device)

    @property
    def in_chans(self) -> int:
        """Number of input channels."""
        return self.network.in_chans

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return self.network.conv1.weight.device

    @property
    def dtype_name(self) -> str:
        """Dtype of its weights, such as "float32"."""
        return str(self.network.conv1.weight.dtype).removeprefix("torch.")

    def in_dtype(self, dtype: torch.dtype) -> Folded:
        """Itself if its weights have this ``dtype``, else a converted copy."""
        if self.network.conv1.weight.dtype == dtype:
            return self
        made = copy.deepcopy(self).to(dtype)
        made.centre, made.scale = self.centre, self.scale  # which few bits do not hold
        return made
