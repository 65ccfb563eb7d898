"""The pose task: heatmaps of the joints of one person in a box."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from scalenet.arch import Arch
from scalenet.datasets import LSP
from scalenet.evaluate.coco import score_coco
from scalenet.evaluate.keypoint_data import KeypointSet, sigmas_of
from scalenet.evaluate.pck import score_pck
from scalenet.evaluate.topdown import estimate
from scalenet.fold import fold
from scalenet.network import ScaleNet
from scalenet.predict.topdown import PoseEstimator

from .. import losses
from ..data import DataError, spread
from ..data.keypoints import Augmentation, KeypointSource
from ..recipes import Recipe


class PoseTask:
    """Heatmaps of the joints of one person in a box."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        augmentation = Augmentation(recipe.rotation, recipe.rescale, recipe.half_body, colour=recipe.colour)
        self.source = KeypointSource(recipe.root, recipe.split, augmentation, recipe.sigma, recipe.workers)
        self.val = KeypointSet.open(recipe.root, recipe.val_split)
        self.labels = self.source.labels
        self.partners = torch.tensor(self.labels.partners, device=device, dtype=torch.long)
        if recipe.partners and not len(self.partners):
            raise DataError(f"{self.source.data.path} names no left and right joints, partners={recipe.partners}")
        sigmas_of(self.labels)  # what the validation needs is missed before the training, not after
        self.figure = "pck" if self.labels == LSP else "ap"
        if recipe.classes != len(self.labels.names):
            raise DataError(f"{self.source.data.path} has {len(self.labels.names)} joints, classes={recipe.classes}")

    def build(self, arch: Arch) -> nn.Module:
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=self.labels)

    def trunk(self, model: nn.Module) -> ScaleNet:
        return model

    def loss(self, output: torch.Tensor, heatmaps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        loss = losses.joint_mse(output, heatmaps, weights)
        if self.recipe.partners:
            loss = loss + self.recipe.partners * losses.partner_mse(output, heatmaps, weights, self.partners)
        return loss

    def calibration(self, pictures: int, batch: int = 32) -> Iterator[torch.Tensor]:
        """Training crops spread over the split, as they are, for BatchNorm statistics."""
        load = partial(self.source.load, size=self.recipe.size)
        return spread(load, len(self.source), pictures, batch, self.device)

    def evaluate(self, model: nn.Module, limit: int = 0) -> dict[str, float]:
        """PCK@0.2 on LSP, COCO's figures elsewhere; annotated boxes, flip test, DARK decoding."""
        val = self.val
        estimator = PoseEstimator(fold(model), self.device, input_size=self.recipe.size, sigma=self.recipe.sigma)
        image_ids = sorted(val.images)[: limit or None]
        results = estimate(estimator, val, image_ids, bar=False)
        if val.labels == LSP:
            return {"pck": score_pck(results, val, image_ids)["pck"]}
        return score_coco(results, val, image_ids)
