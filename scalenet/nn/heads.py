"""Task heads on the branches of a :class:`~scalenet.nn.network.ScaleNet`.

B batch, w width of branch 0, K keypoints, (h, w) = (ceil(H/4), ceil(W/4)). Each head gives the ``features`` it reads,
its pre-logits and its outputs; parameter names are the authors' (``last_layer``, ``final_layer``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import nn

from ..archs.tasks import HEAD_BLOCKS, task_spec
from .layers import BasicBlock, ReLU


def count_outputs(state: Mapping[str, torch.Tensor], task: str) -> int:
    """Classes or keypoints of a network's entries; 0 without a classifier.

    Raises:
        ValueError: for an unknown task.
    """
    layer = state.get(f"{task_spec(task).classifiers[-1]}.bias")
    return 0 if layer is None else layer.numel()


class BottomUpOutput(NamedTuple):
    """Bottom-up network output: heatmaps and tags (B, K, h, w) at stride 4, heatmaps_x2 (B, K, 2h, 2w) at stride 2."""

    heatmaps: torch.Tensor
    tags: torch.Tensor
    heatmaps_x2: torch.Tensor


class Head(nn.Module):
    """What a task puts on the branches; with ``pre_logits=True`` it stops before the outputs."""

    def with_outputs(self, outputs: int) -> Head:
        """The head for another number of outputs (0: none), its classifier anew: this one changed, or another."""
        raise NotImplementedError


class SegmentationHead(Head, nn.Sequential):
    """1x1 convolution + BN + ReLU over the concatenated branches (15w channels), then 1x1 to the classes."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), ReLU())
        self.append(self.make_classifier(channels, num_classes))

    @staticmethod
    def make_classifier(channels: int, num_classes: int) -> nn.Module:
        """The last layer for ``num_classes`` classes; an identity for 0."""
        return nn.Conv2d(channels, num_classes, 1) if num_classes else nn.Identity()

    def with_outputs(self, outputs: int) -> Head:
        """This head with a new last layer."""
        self[3] = self.make_classifier(cast(nn.Conv2d, self[0]).out_channels, outputs)
        return self

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, 15w, h, w) features to (B, classes, h, w) logits, or to what the last layer reads."""
        x = self[2](self[1](self[0](x)))
        return x if pre_logits else self[3](x)


class BottomUpHead(Head):
    """HigherHRNet's form: heatmaps + tags at stride 4, then heatmaps at stride 2 from features and those outputs.

    The transposed convolution reads w + 2K channels, so a new K makes it anew: it is part of the classifier.
    """

    def __init__(self, channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.channels = channels
        self.blocks = nn.Sequential(*(BasicBlock(channels) for _ in range(HEAD_BLOCKS)))
        self.up = nn.Sequential(nn.Identity(), nn.BatchNorm2d(channels), ReLU())
        self.with_outputs(num_keypoints)

    def with_outputs(self, outputs: int) -> Head:
        """This head with new layers for ``outputs`` keypoints."""
        c, k = self.channels, outputs
        self.num_keypoints = k
        self.stride4 = nn.Conv2d(c, 2 * k, 1) if k else nn.Identity()
        self.up[0] = nn.ConvTranspose2d(c + 2 * k, c, 4, stride=2, padding=1, bias=False)
        self.stride2 = nn.Conv2d(c, k, 1) if k else nn.Identity()
        return self

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor | BottomUpOutput:
        """(B, C, h, w) features to the outputs; as they are with ``pre_logits`` or without keypoints."""
        if pre_logits or not self.num_keypoints:
            return x
        low = self.stride4(x)
        high = self.stride2(self.blocks(self.up(torch.cat([x, low], 1))))
        heatmaps, tags = low.chunk(2, 1)
        return BottomUpOutput(heatmaps, tags, high)


class HeatmapHead(Head, nn.Conv2d):
    """1x1 convolution with bias from branch 0 to K heatmaps."""

    def with_outputs(self, outputs: int) -> Head:
        """A new head for ``outputs`` keypoints."""
        return make_heatmap_head(self.in_channels, outputs)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, C, h, w) features to (B, K, h, w) heatmaps; as they are with ``pre_logits``."""
        return x if pre_logits else super().forward(x)


class NoHead(Head):
    """Stands where the head was taken off; ``make(n)`` is one of n outputs."""

    def __init__(self, make: Callable[[int], Head]) -> None:
        super().__init__()
        self.make = make

    def with_outputs(self, outputs: int) -> Head:
        """A head of ``outputs`` outputs; this one for 0."""
        return self.make(outputs) if outputs else self

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """The features as they are."""
        return x


def make_heatmap_head(channels: int, num_keypoints: int) -> Head:
    """The heatmaps' layer, or what stands for it where there are no keypoints."""
    return HeatmapHead(channels, num_keypoints, 1) if num_keypoints else NoHead(partial(make_heatmap_head, channels))


# (channels of the features, number of outputs) to the head, for each of scalenet.archs.tasks.TASKS
HEADS: Mapping[str, Callable[[int, int], Head]] = {
    "segmentation": SegmentationHead, "pose": make_heatmap_head, "bottomup": BottomUpHead,
}  # fmt: skip


def make_head(task: str, width: int, outputs: int) -> Head:
    """The head of a task.

    Args:
        task: a name of :data:`scalenet.archs.tasks.TASKS`.
        width: channels of branch 0.
        outputs: number of classes or keypoints, 0 for none.
    """
    return HEADS[task](task_spec(task).num_features(width), outputs)
