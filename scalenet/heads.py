"""Task heads on the branches of a :class:`~scalenet.network.ScaleNet`.

B batch, w width of branch 0, K keypoints, (h, w) = (ceil(H/4), ceil(W/4)). Each head gives the ``features`` it reads,
its pre-logits and its outputs; parameter names are the authors' (``last_layer``, ``final_layer``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from timm.models.resnet import BasicBlock
from torch import nn

from .cost import HEAD_BLOCKS

CLASSIFIERS = {  # by task, the modules that the number of outputs shapes; the last one has a bias value for each
    "segmentation": ("last_layer.3",),
    "pose": ("final_layer",),
    "bottomup": ("bottomup_layer.stride4", "bottomup_layer.up.0", "bottomup_layer.stride2"),
}


def count_outputs(state: Mapping[str, torch.Tensor], task: str) -> int:
    """Classes or keypoints of a network's entries; 0 without a classifier."""
    layer = state.get(f"{CLASSIFIERS[task][-1]}.bias") if task in CLASSIFIERS else None
    return 0 if layer is None else layer.numel()


class BottomUpOutput(NamedTuple):
    """Bottom-up network output: heatmaps and tags (B, K, h, w) at stride 4, heatmaps_x2 (B, K, 2h, 2w) at stride 2."""

    heatmaps: torch.Tensor
    tags: torch.Tensor
    heatmaps_x2: torch.Tensor


class SegmentationHead(nn.Sequential):
    """1x1 convolution + BN + ReLU over the concatenated branches (15w channels), then 1x1 to the classes."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.append(self.make_classifier(channels, num_classes))

    @staticmethod
    def make_classifier(channels: int, num_classes: int) -> nn.Module:
        return nn.Conv2d(channels, num_classes, 1) if num_classes else nn.Identity()

    def reset(self, num_classes: int) -> None:
        self[3] = self.make_classifier(self[0].out_channels, num_classes)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self[2](self[1](self[0](x)))
        return x if pre_logits else self[3](x)


class BottomUpHead(nn.Module):
    """HigherHRNet's form: heatmaps + tags at stride 4, then heatmaps at stride 2 from features and those outputs.

    The transposed convolution reads w + 2K channels, so a new K makes it anew: it is part of the classifier.
    """

    def __init__(self, channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.channels = channels
        self.blocks = nn.Sequential(*(BasicBlock(channels, channels) for _ in range(HEAD_BLOCKS)))
        self.up = nn.Sequential(nn.Identity(), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.reset(num_keypoints)

    def reset(self, num_keypoints: int) -> None:
        c, k = self.channels, num_keypoints
        self.num_keypoints = k
        self.stride4 = nn.Conv2d(c, 2 * k, 1) if k else nn.Identity()
        self.up[0] = nn.ConvTranspose2d(c + 2 * k, c, 4, stride=2, padding=1, bias=False)
        self.stride2 = nn.Conv2d(c, k, 1) if k else nn.Identity()

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor | BottomUpOutput:
        if pre_logits or not self.num_keypoints:
            return x
        low = self.stride4(x)
        high = self.stride2(self.blocks(self.up(torch.cat([x, low], 1))))
        heatmaps, tags = low.chunk(2, 1)
        return BottomUpOutput(heatmaps, tags, high)


class HeatmapHead(nn.Conv2d):
    """1x1 convolution with bias from branch 0 to K heatmaps."""

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return x if pre_logits else super().forward(x)


class NoHead(nn.Identity):
    """Stands where the heatmap layer was taken off (``num_classes=0``)."""

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return x


def make_heatmap_head(channels: int, num_keypoints: int) -> nn.Module:
    return HeatmapHead(channels, num_keypoints, 1) if num_keypoints else NoHead()
