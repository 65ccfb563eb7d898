"""The segmentation task: index masks from images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from scalenet.arch import Arch
from scalenet.data.images import pad_to_multiple
from scalenet.evaluate.metrics.miou import ConfusionMatrix
from scalenet.evaluate.segmentation import confusion_matrix
from scalenet.fuse import fold
from scalenet.labels import DATASETS
from scalenet.network import ScaleNet
from scalenet.predict.segmentation import COARSEST, Segmenter, reduced

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
        """Logits."""
        return cast(torch.Tensor, self.network.forward_head(self.network.forward_features(x)))


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
        """A segmentation network."""
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=DATASETS.get(Path(self.recipe.root).name.lower()))

    def runner(self, model: nn.Module) -> nn.Module:
        """Logits at stride 4, which is where networks teach each other."""
        return AtStride4(self.backbone(model))

    def loss(self, output: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
        """Pixel losses of (B, classes, h, w) logits, enlarged to the target's (B, H, W) class numbers."""
        (target,), recipe = targets, self.recipe
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
        """Training images as they are validated, reduced to ``size`` if that is given, for BatchNorm statistics."""

        def load(i: int) -> np.ndarray:
            image = self.source.load(i)[0]
            return pad_to_multiple(reduced(image, size) if size else image, COARSEST)

        return spread(load, len(self.source), images, batch, self.device, seed, self.recipe.damaged == "skip")

    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> dict[str, float]:
        """mIoU on the validation images, one by one, as they are or, if larger, reduced to ``size``; at full size."""
        pairs = self.mine(self.val[: limit or None])
        segmenter = Segmenter(fold(self.backbone(model)), self.device, resize=size is not None)
        segmenter.input_size = size or segmenter.input_size
        results = segmenter.stream(image for image, _ in pairs)
        matrix = ConfusionMatrix(self.recipe.classes)
        if pairs:
            matrix = confusion_matrix(pairs, (result.mask for result in results), self.recipe.classes)
        matrix.counts = np.sum(self.merged(matrix.counts), 0)
        return {"miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy()}
