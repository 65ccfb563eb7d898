"""The segmentation task: index masks from images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.data.images import pad_to_multiple
from scalenet.data.labels import DATASETS
from scalenet.data.sizes import COARSEST, reduced
from scalenet.evaluate.metrics.miou import ConfusionMatrix
from scalenet.evaluate.segmentation import confusion_matrix
from scalenet.nn.fuse import fold
from scalenet.nn.network import ScaleNet
from scalenet.predict.segmentation import Segmenter

from ..checks import RecipeError
from ..config import Recipe
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
        data, change = recipe.data, recipe.augmentation
        self.source = SegmentationSource(
            data.root, data.split, recipe.classes, change.scale, data.cache,
            hold_out=data.hold_out, mix=change.mix, dusk=change.dusk, draw=change.scale_draw, colour=change.colour,
        )  # fmt: skip
        self.val = validation_pairs(data.root, data.split, data.val_split, data.hold_out)
        check_pairs(self.val, recipe.classes, f"labels of {data.val_split} in {data.root}")
        check_pairs(self.source.pairs, recipe.classes, f"labels of {data.split} in {data.root}", every=False)
        weighted = recipe.loss.class_weights or recipe.loss.fixed_weights
        self.weight = self._class_weights().to(device) if weighted else None

    def _class_weights(self) -> torch.Tensor:
        if self.recipe.loss.fixed_weights:
            return torch.tensor(self.recipe.loss.fixed_weights)
        return losses.softened_class_weights(torch.from_numpy(np.asarray(self.source.class_counts())))

    def build(self, arch: Arch) -> nn.Module:
        """A segmentation network."""
        labels = DATASETS.get(Path(self.recipe.data.root).name.lower())
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=labels)

    def runner(self, model: nn.Module) -> nn.Module:
        """Logits at stride 4, which is where networks teach each other."""
        return AtStride4(self.backbone(model))

    def loss(self, output: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
        """Pixel losses of (B, classes, h, w) logits, enlarged to the target's (B, H, W) class numbers."""
        (target,), settings = targets, self.recipe.loss
        output = F.interpolate(output.float(), size=target.shape[-2:], mode="bilinear", align_corners=False)
        if settings.ohem:
            loss = losses.ohem_cross_entropy(output, target, settings.ohem, settings.ohem_pixels, self.weight)
        else:
            loss = losses.cross_entropy(output, target, self.weight)
        if settings.lovasz:
            loss = loss + settings.lovasz * losses.lovasz_softmax(output, target)
        return loss

    def calibration(
        self, images: int, batch: int = 4, size: Size | None = None, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """Training images as they are validated, reduced to ``size`` if that is given, for BatchNorm statistics."""

        def load(i: int) -> np.ndarray:
            image = self.source.load(i)[0]
            return pad_to_multiple(reduced(image, size) if size else image, COARSEST)

        return spread(load, len(self.source), images, batch, self.device, seed, self.recipe.data.damaged == "skip")

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
