"""The pose task: heatmaps of the joints of one person in a box."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.data.keypoints import KeypointSet, sigmas_of
from scalenet.data.labels import LSP, Labels
from scalenet.evaluate.metrics.coco import score_coco
from scalenet.evaluate.metrics.pck import score_pck
from scalenet.evaluate.topdown import estimate
from scalenet.nn.fuse import fold
from scalenet.nn.network import ScaleNet
from scalenet.predict.topdown import PoseEstimator

from ..config import Recipe
from ..data import DataError, Joined, Size
from ..data.keypoints import Augmentation, KeypointSource
from . import losses
from .base import Metrics, Task

DECODING = {"dark": "DARK decoding", "quarter": "quarter offset", "oks": "OKS decoding"}


class PoseTask(Task):
    """Heatmaps of the joints of one person in a box, from one data set or several whose joints are brought together."""

    sized = True

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        data, change, loss = recipe.data, recipe.augmentation, recipe.loss
        val, train = (KeypointSet.open(data.root, split) for split in (data.val_split, data.split))
        self.labels = self._labels(train)
        self.val = val.in_order_of(train.labels)
        if not len(self.val.people().boxes):
            raise DataError(f"nobody in {val.path} has labelled joints and a box with an area: nothing to validate on")
        augmentation = Augmentation(
            change.rotation, change.rescale, change.half_body, colour=change.colour, upper=change.upper_half
        )
        self.source = Joined(
            [
                KeypointSource(r, data.split, augmentation, loss.sigma, recipe.run.workers, self.labels, loss.absent)
                for r in (data.root, *data.more_roots)
            ]
        )
        self.flip_pairs = torch.tensor(self.labels.flip_pairs, device=device, dtype=torch.long)
        sigmas_of(self.val.labels)  # what the validation needs is missed before the training, not after
        self.metric = "pck" if self.labels == LSP else "ap"

    def _labels(self, data: KeypointSet) -> Labels:
        """The network's joints: those of ``data``, under the recipe's pixel convention."""
        recipe, labels = self.recipe, data.labels
        if labels is None or recipe.classes != len(labels.names):
            raise DataError(f"{data.path} has {len(labels.names) if labels else 0} joints, classes={recipe.classes}")
        wanted = recipe.loss
        if wanted.flip_pairs and not labels.flip_pairs:
            raise DataError(f"{data.path} names no left and right joints, flip_pairs={wanted.flip_pairs}")
        decode = wanted.decode or ("oks" if wanted.peaks and labels.sigmas else "")
        return replace(labels, convention=wanted.convention or labels.convention, decode=decode)

    def build(self, arch: Arch) -> nn.Module:
        """A top-down pose network."""
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=self.labels)

    def loss(self, output: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
        """Heatmap losses of (B, K, h, w) outputs; the targets are heatmaps like them and (B, K) weights."""
        heatmaps, weights = targets
        loss = losses.joint_mse(output, heatmaps, weights)
        terms = self.recipe.loss
        if terms.flip_pairs:
            loss = loss + terms.flip_pairs * losses.flip_pair_mse(output, heatmaps, weights, self.flip_pairs)
        if terms.peaks:
            loss = loss + terms.peaks * losses.peak_divergence(output, heatmaps, weights)
        return loss

    @property
    def protocol(self) -> str:
        """Boxes, flip test, and how joints are read off heatmaps."""
        return f"annotated boxes, flip test, {DECODING[self.labels.decode or 'dark']}"

    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> Metrics:
        """PCK@0.2 on LSP, COCO's metrics elsewhere; annotated boxes, flip test, decoding as the labels say."""
        val, size = self.val, size or self.recipe.schedule.size
        network, sigma = fold(self.backbone(model)), self.recipe.loss.sigma
        estimator = PoseEstimator(network, self.device, input_size=size, sigma=sigma)
        image_ids = sorted(val.images)[: limit or None]
        results = self.results(estimate(estimator, val, self.mine(image_ids), bar=False), image_ids)
        if val.labels == LSP:
            return {"pck": score_pck(results, val, image_ids)["pck"]}
        return score_coco(results, val, image_ids)
