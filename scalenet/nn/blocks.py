"""What the networks are built of: convolutions, fusion paths, and modules of parallel branches.

w width; branch i has w * 2**i channels. Parameter names and shapes are the authors'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..archs.arch import ModuleArch
from ..archs.execution import Steps
from .layers import BasicBlock, Bottleneck, ReLU

RESIDUAL_SCALE = 0.2

Maps = list[Any]  # of each branch a tensor, or None where it has not begun


def conv_bn(cin: int, cout: int, kernel: int, stride: int = 1, activate: bool = False) -> nn.Sequential:
    """Convolution without bias + BatchNorm, with ReLU where asked."""
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), *([ReLU()] if activate else []))


def fusion_path(width: int, target: int, source: int) -> nn.Sequential:
    """The path from branch ``source`` to branch ``target``; upsampling of a coarser source happens when it is added."""
    if source > target:
        return conv_bn(width << source, width << target, 1)
    hops = target - source
    convs = [conv_bn(width << source, width << source, 3, 2, activate=True) for _ in range(hops - 1)]
    return nn.Sequential(*convs, conv_bn(width << source, width << target, 3, 2))


def init_layers(module: nn.Module) -> None:
    """He-normal convolutions with zero bias, BatchNorm at identity."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()


class MultiResolutionModule(nn.Module):
    """Parallel branches of basic blocks with a fusion layer after every block; holds what ``module`` declares."""

    branches: Any  # [branch][depth]: a block

    def __init__(self, module: ModuleArch, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.ModuleList(BasicBlock(width << j) for _ in range(depth)) for j, depth in enumerate(module.depths)
        )
        for d in range(module.steps):
            targets = {
                str(j): nn.ModuleDict({str(k): fusion_path(width, j, k) for k in module.sources(j, d)})
                for j in range(len(module.depths))
                if module.sources(j, d)
            }
            if targets:
                self.add_module(f"fuse_layers_{d + 1}", nn.ModuleDict(targets))

    def forward(self, maps: Maps, steps: Steps) -> Maps:
        """The branches' maps after the steps given; a branch that none of them touches keeps the map it came with."""
        maps = list(maps)
        for d, (blocks, fusions) in enumerate(steps):
            for j in blocks:
                maps[j] = self.branches[j][d](maps[j])
            fused = {j: add_up(maps[j], {k: self.path(d, j, k)(maps[k]) for k in ks}, j) for j, ks in fusions}
            for j, x in fused.items():
                maps[j] = x
        return maps

    def paths(self) -> Iterator[nn.Module]:
        """All fusion paths."""
        for name, layer in self.named_children():
            if name.startswith("fuse_layers"):
                for sources in layer.children():
                    yield from sources.children()

    def path(self, d: int, target: int, source: int) -> nn.Module:
        """The path from ``source`` to ``target`` after step ``d``."""
        return getattr(self, f"fuse_layers_{d + 1}")[str(target)][str(source)]


def add_up(x: torch.Tensor, parts: Mapping[int, torch.Tensor], target: int) -> torch.Tensor:
    """ReLU of branch ``target``'s map and what the paths from other branches gave, coarser maps brought to its size.

    ``x`` stays as it is: others read it. What the paths gave is nobody else's and may be overwritten.
    """
    total, owned = x, False
    for source, y in parts.items():
        if source > target:
            y = F.interpolate(y, size=x.shape[-2:], mode="nearest")
        if owned:
            total = total.add_(y)
        else:  # an enlarged map is new and whole, others may be a part of a wider one
            total = y.add_(x) if source > target and not torch.is_grad_enabled() else x + y
        owned = True
    return F.relu_(total)


def quiet_residuals(network: nn.Module) -> None:
    """Start residual branches and fusion paths small: many of them add up, and training starts faster."""
    for module in network.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            last: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            nn.init.constant_(last.weight, RESIDUAL_SCALE)
        elif isinstance(module, MultiResolutionModule):
            for path in module.paths():
                last = [m for m in path.modules() if isinstance(m, nn.BatchNorm2d)][-1]
                nn.init.constant_(last.weight, RESIDUAL_SCALE)


def unwrap(model: nn.Module) -> nn.Module:
    """What ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` wrapped; anything else as it is."""
    model = getattr(model, "_orig_mod", model)
    return model.module if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)) else model
