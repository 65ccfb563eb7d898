"""The segmentation task: index masks from images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from scalenet.arch import Arch
from scalenet.data.images import pad_to_multiple
from scalenet.evaluate.metrics.miou import ConfusionMatrix
from scalenet.evaluate.segmentation import count
from scalenet.fuse import fold
from scalenet.labels import DATASETS
from scalenet.network import ScaleNet
from scalenet.predict.segmentation import COARSEST, Segmenter

from ..config import Recipe, RecipeError
from ..data import Size, spread
from ..data.segmentation import SegmentationSource, check_pairs, validation_pairs
from . import losses
from .base import Task


class AtStride4(nn.Module):
    """A segmentation network without its last enlargement: (B, 3, H, W) to logits (B, C, ceil(H/4), ceil(W/4))."""

    def __init__(self, network: ScaleNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network.forward_head(self.network.forward_features(x))


class SegmentationTask(Task):
    """Index masks from images."""

    metric = "miou"

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        if recipe.classes < 1:
            raise RecipeError(f"classes is at least 1, got {recipe.classes}")
        self.source = SegmentationSource(
            recipe.root, recipe.split, recipe.classes, recipe.scale, recipe.cache,
            hold_out=recipe.hold_out, mix=recipe.mix, dusk=recipe.dusk, draw=recipe.scale_draw, colour=recipe.colour,
        )  # fmt: skip
        self.val = validation_pairs(recipe.root, recipe.split, recipe.val_split, recipe.hold_out)
        check_pairs(self.val, recipe.classes, f"labels of {recipe.val_split} in {recipe.root}")
        check_pairs(self.source.pairs, recipe.classes, f"labels of {recipe.split} in {recipe.root}", every=False)
        weighted = recipe.class_weights or recipe.fixed_weights
        self.weight = self._class_weights().to(device) if weighted else None

    def _class_weights(self) -> torch.Tensor:
        if self.recipe.fixed_weights:
            return torch.tensor(self.recipe.fixed_weights)
        return losses.softened_class_weights(torch.from_numpy(np.asarray(self.source.class_counts())))

    def build(self, arch: Arch) -> nn.Module:
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=DATASETS.get(Path(self.recipe.root).name.lower()))

    def runner(self, model: nn.Module) -> nn.Module:
        """Logits at stride 4, which is where networks teach each other."""
        return AtStride4(model)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        recipe = self.recipe
        output = F.interpolate(output.float(), size=target.shape[-2:], mode="bilinear", align_corners=False)
        if recipe.ohem:
            loss = losses.ohem_cross_entropy(output, target, recipe.ohem, recipe.ohem_pixels, self.weight)
        else:
            loss = losses.cross_entropy(output, target, self.weight)
        if recipe.lovasz:
            loss = loss + recipe.lovasz * losses.lovasz_softmax(output, target)
        return loss

    def calibration(
        self, images: int, batch: int = 4, size: Size | None = None, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """Training images at full size and as they are validated, for BatchNorm statistics."""

        def load(i: int) -> np.ndarray:
            return pad_to_multiple(self.source.load(i)[0], COARSEST)

        return spread(load, len(self.source), images, batch, self.device, seed, self.recipe.damaged == "skip")

    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> dict[str, float]:
        """mIoU on the validation images at full size, one by one."""
        pairs = self.mine(self.val[: limit or None])
        segmenter = Segmenter(fold(model), self.device, resize=False)
        results = segmenter.stream(image for image, _ in pairs)
        matrix = ConfusionMatrix(self.recipe.classes)
        if pairs:
            matrix = count(pairs, (result.mask for result in results), self.recipe.classes)
        matrix.counts = sum(self.merged(matrix.counts))
        return {"miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy()}
