"""Photographs of things: where a backbone starts from."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.data.images import normalise
from scalenet.nn.network import ScaleNet

from ..config import Recipe
from ..data import Size
from ..data.classification import ClassificationSource
from .base import Task
from .teachers import Wanted

CLASSIFIER_WIDTHS = (64, 128, 192, 256)


class Classifier(nn.Module):
    """A backbone under a classification head over its four branches: 1x1 convolution, BN, ReLU, global mean, linear.

    Args:
        features: widths of two 1x1 convolutions over branches 2 and 3, to learn another network's features by;
            without them the network gives logits alone.
    """

    def __init__(self, arch: Arch, classes: int, features: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.network = ScaleNet(arch, task="pose", num_classes=0)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(info["num_chs"], width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for info, width in zip(self.network.feature_info, CLASSIFIER_WIDTHS, strict=True)
        )
        self.linear = nn.Linear(sum(CLASSIFIER_WIDTHS), classes)
        trunc_normal_(self.linear.weight, std=0.01)
        widths = [info["num_chs"] for info in self.network.feature_info[2:]]
        self.features = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths, features or (), strict=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor | Wanted:
        """(B, 3, H, W) to (B, classes) logits, with ``features`` beside the features at strides 16 and 32."""
        maps = self.network.forward_branches(x)
        pooled = [project(m).mean((2, 3)) for project, m in zip(self.projections, maps, strict=True)]
        logits = self.linear(torch.cat(pooled, 1))
        if not self.features:
            return logits
        return Wanted(logits, *(convolve(m) for convolve, m in zip(self.features, maps[2:], strict=True)))


class ClassificationTask(Task):
    """Photographs of things: where a backbone starts from."""

    metric = "top1"  # of what ``evaluate`` returns, the one that says which network is better

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        self.source = ClassificationSource(recipe.data.root, recipe.data.split)

    def build(self, arch: Arch) -> nn.Module:
        """A classifier of the data's classes."""
        return Classifier(arch, self.source.classes)

    def backbone(self, model: nn.Module) -> ScaleNet:
        """The classifier's network."""
        return cast(Classifier, model).network

    def loss(self, output: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of (B, classes) logits with (B,) class numbers, labels smoothed by 0.1."""
        (target,) = targets
        return F.cross_entropy(output, target, label_smoothing=0.1)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> dict[str, float]:
        """Top-1 accuracy on the validation images."""
        size = size or self.recipe.schedule.size
        val = ClassificationSource(self.recipe.data.root, self.recipe.data.val_split)
        hits, n = 0, min(len(val), limit or len(val))
        for start in self.mine(range(0, n, 100)):
            index = range(start, min(n, start + 100))
            images = torch.from_numpy(np.stack([val.load(i, size) for i in index])).to(self.device)
            hits += int((model(normalise(images)).argmax(1).cpu().numpy() == val.labels[list(index)]).sum())
        return {"top1": sum(self.merged(hits)) / n}
