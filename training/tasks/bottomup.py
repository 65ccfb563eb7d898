"""The bottom-up task: everybody's joints and tags in whole images."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.data.keypoints import KeypointSet, read_results, sigmas_of
from scalenet.evaluate.bottomup import estimate
from scalenet.evaluate.scores import scorer
from scalenet.nn.fuse import fold
from scalenet.nn.heads import BottomUpOutput
from scalenet.nn.network import ScaleNet
from scalenet.predict.bottomup import BottomUpPoseEstimator

from ..config import Recipe
from ..data import DataError, Size
from ..data.bottomup import BottomUpSource, RandomAffine
from ..data.crowds import VAL_SIZE, CrowdSource, write_crowds
from .base import Metrics, Task
from .losses_bottomup import bottom_up_loss

VAL_CROWDS = 150


class BottomUpTask(Task):
    """Heatmaps at two resolutions and tags.

    The data is COCO or CrowdPose, or, where the recipe names backgrounds, crowds composed of single people and their
    photographs.
    """

    metric = "ap"
    calibration_batch = 4

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        data, change = recipe.data, recipe.augmentation
        self.composed, self.roots = bool(data.backgrounds), (data.root, *data.more_roots)
        if self.composed:
            self.source: CrowdSource | BottomUpSource = CrowdSource(
                self.roots, data.split, data.backgrounds, change.people, change.silence, change.scenes,
                change.colour, data.neighbours, change.mosaic,
            )  # fmt: skip
        else:
            augmentation = RandomAffine(change.rotation, change.scale, colour=change.colour)
            self.source = BottomUpSource(data.root, data.split, augmentation)
        self.labels = self.source.labels
        self.val = KeypointSet.open(data.root, data.val_split)
        if recipe.classes != len(self.labels.names):
            raise DataError(f"{data.root} has {len(self.labels.names)} joints, classes={recipe.classes}")
        if not self.composed:  # what the validation needs is missed before the training, not after
            self.val = self.val.in_order_of(self.labels)
            sigmas_of(self.val.labels)
            if not self.val.annotations:
                raise DataError(f"{self.val.path} labels nobody: nothing to validate on")

    @property
    def validation(self) -> str:
        """The validation split's name, for people."""
        return "composed crowds" if self.composed else super().validation

    def build(self, arch: Arch) -> nn.Module:
        """A bottom-up network of the recipe's input size."""
        arch = arch.replace(input_size=self.recipe.schedule.size)  # the architecture may be one of people in boxes
        return ScaleNet(arch, task="bottomup", num_classes=self.recipe.classes, labels=self.labels)

    def loss(self, output: BottomUpOutput, *targets: torch.Tensor) -> torch.Tensor:
        """Heatmap and tag losses; the targets are :func:`~training.data.bottomup.targets`'s."""
        heatmaps, heatmaps_x2, mask, mask_x2, joints = targets
        weights = self.recipe.loss
        return bottom_up_loss(output, heatmaps, heatmaps_x2, mask, mask_x2, joints, weights.tags, weights.peaks)

    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> Metrics:
        """COCO's or CrowdPose's metrics with flip test; of composed crowds (1-8 people, 512x512) COCO's."""
        if not self.composed:
            return self._score(model, self.val, size or self.recipe.schedule.size, limit)
        with tempfile.TemporaryDirectory() as folder:
            count = min(limit or VAL_CROWDS, VAL_CROWDS)
            out = Path(folder) / "crowds"
            crowds = write_crowds(self.roots, self.recipe.data.val_split, self.recipe.data.backgrounds, out, count)
            return self._score(model, crowds, size or VAL_SIZE, 0)

    def _score(self, model: nn.Module, val: KeypointSet, size: Size, limit: int) -> Metrics:
        estimator = BottomUpPoseEstimator(
            fold(self.backbone(model)), self.device, flip=True, input_size=min(size), person_threshold=0.0
        )
        image_ids = sorted(val.images)[: limit or None]
        found = self.results(estimate(estimator, val, self.mine(image_ids), bar=False), image_ids)
        results = read_results(found, val)
        dataset = "crowdpose" if all("crowdIndex" in image for image in val.images.values()) else "coco"
        return scorer(dataset)(results, val, image_ids)
