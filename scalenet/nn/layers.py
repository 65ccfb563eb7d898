"""ReLU and the residual blocks, in place where no gradient is recorded and nowhere else.

What autograd records may be looked at by hooks (Grad-CAM's, for one), and torch refuses to change a module's output in
place once a backward hook is on that module.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models import resnet
from torch import nn


def relu(x: torch.Tensor) -> torch.Tensor:
    """ReLU of a tensor that nobody else needs; it may be overwritten."""
    return F.relu(x) if torch.is_grad_enabled() else F.relu_(x)


class ReLU(nn.ReLU):
    """:func:`relu` as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A tensor of the same shape, which may be ``x`` itself."""
        return relu(x)


class BasicBlock(resnet.BasicBlock):
    """Two 3x3 convolutions and the way around them: (B, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, act_layer=ReLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output; ``x`` stays as it is."""
        y = self.act1(self.bn1(self.conv1(x)))
        return self.act2(_sum(self.bn2(self.conv2(y)), x))


class Bottleneck(resnet.Bottleneck):
    """1x1, 3x3 and 1x1 convolutions and the way around them: (B, C, H, W) -> (B, 4 * planes, H, W)."""

    def __init__(self, channels: int, planes: int, downsample: nn.Module | None = None) -> None:
        super().__init__(channels, planes, downsample=downsample, act_layer=ReLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output; ``x`` stays as it is."""
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.act2(self.bn2(self.conv2(y)))
        return self.act3(_sum(self.bn3(self.conv3(y)), x if self.downsample is None else self.downsample(x)))


def _sum(x: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
    return x + shortcut if torch.is_grad_enabled() else x.add_(shortcut)
