"""The segmentation task: index masks from images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from scalenet.arch import Arch
from scalenet.data.images import pad_to_multiple
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


class SegmentationTask(Task):
    """Index masks from images."""

    metric = "miou"

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        if recipe.classes < 1:
            raise RecipeError(f"classes is at least 1, got {recipe.classes}")
        self.source = SegmentationSource(
            recipe.root, recipe.split, recipe.classes, recipe.scale, recipe.cache,
            hold_out=recipe.hold_out, mix=recipe.mix, dusk=recipe.dusk,
        )  # fmt: skip
        self.val = validation_pairs(recipe.root, recipe.split, recipe.val_split, recipe.hold_out)
        check_pairs(self.val, recipe.classes, f"labels of {recipe.val_split} in {recipe.root}")
        check_pairs(self.source.pairs, recipe.classes, f"labels of {recipe.split} in {recipe.root}", every=False)
        self.weight = self._class_weights().to(device) if recipe.class_weights else None

    def _class_weights(self) -> torch.Tensor:
        return losses.softened_class_weights(torch.from_numpy(np.asarray(self.source.class_counts())))

    def build(self, arch: Arch) -> nn.Module:
        """A segmentation network."""
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=DATASETS.get(Path(self.recipe.root).name.lower()))

    def loss(self, output: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
        """Pixel losses of (B, classes, H, W) logits; the target is (B, H, W) class numbers."""
        (target,) = targets
        recipe = self.recipe
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

        return spread(load, len(self.source), images, batch, self.device, seed)

    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> dict[str, float]:
        """mIoU on the validation images, one by one, as they are or, if larger, reduced to ``size``; at full size."""
        pairs = self.val[: limit or None]
        segmenter = Segmenter(fold(self.backbone(model)), self.device, resize=size is not None)
        segmenter.input_size = size or segmenter.input_size
        results = segmenter.stream(image for image, _ in pairs)
        matrix = confusion_matrix(pairs, (result.mask for result in results), self.recipe.classes)
        return {"miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy()}
