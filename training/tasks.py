"""What differs between tasks: the network, the data, the loss and the score. The engine knows only this."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import nn

from scalenet.arch import Arch
from scalenet.datasets import DATASETS, LSP
from scalenet.evaluate.coco import score_coco
from scalenet.evaluate.keypoint_data import KeypointSet, sigmas_of
from scalenet.evaluate.pairs import find_pairs, read_label
from scalenet.evaluate.pck import score_pck
from scalenet.evaluate.segmentation import count
from scalenet.evaluate.topdown import estimate
from scalenet.fold import fold
from scalenet.network import ScaleNet
from scalenet.predict.images import normalise, pad_to_multiple
from scalenet.predict.segmentation import COARSEST, Segmenter
from scalenet.predict.topdown import PoseEstimator

from . import losses
from .data import DataError, spread
from .data.classification import ClassificationSource
from .data.keypoints import Augmentation, KeypointSource
from .data.segmentation import SegmentationSource
from .recipes import Recipe
from .tasks_bottomup import BottomUpTask

CLASSIFIER_WIDTHS = (64, 128, 192, 256)


class Classifier(nn.Module):
    """A trunk under a classification head over its four branches: 1x1 convolution, BN, ReLU, global mean, linear."""

    def __init__(self, arch: Arch, classes: int) -> None:
        super().__init__()
        self.network = ScaleNet(arch, task="pose", num_classes=0)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(info["num_chs"], width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for info, width in zip(self.network.feature_info, CLASSIFIER_WIDTHS, strict=True)
        )
        self.linear = nn.Linear(sum(CLASSIFIER_WIDTHS), classes)
        trunc_normal_(self.linear.weight, std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, classes) logits."""
        maps = self.network.forward_branches(x)
        pooled = [project(m).mean((2, 3)) for project, m in zip(self.projections, maps, strict=True)]
        return self.linear(torch.cat(pooled, 1))


class ClassificationTask:
    """Photographs of things: where a trunk starts from."""

    figure = "top1"  # of what ``evaluate`` returns, the one that says which network is better

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.source = ClassificationSource(recipe.root, recipe.split)

    def build(self, arch: Arch) -> nn.Module:
        return Classifier(arch, self.source.classes)

    def trunk(self, model: nn.Module) -> ScaleNet:
        return model.network

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(output, target, label_smoothing=0.1)

    def calibration(self, pictures: int, batch: int = 32) -> Iterator[torch.Tensor]:
        """Training pictures spread over the split, as they are, for BatchNorm statistics."""
        load = partial(self.source.load, size=self.recipe.size)
        return spread(load, len(self.source), pictures, batch, self.device)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, limit: int = 0) -> dict[str, float]:
        """Top-1 accuracy on the validation pictures."""
        val = ClassificationSource(self.recipe.root, self.recipe.val_split)
        hits, n = 0, min(len(val), limit or len(val))
        for start in range(0, n, 100):
            index = range(start, min(n, start + 100))
            images = torch.from_numpy(np.stack([val.load(i, self.recipe.size) for i in index])).to(self.device)
            hits += int((model(normalise(images)).argmax(1).cpu().numpy() == val.labels[list(index)]).sum())
        return {"top1": hits / n}


class SegmentationTask:
    """Index masks from pictures."""

    figure = "miou"

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.source = SegmentationSource(recipe.root, recipe.split, recipe.classes, recipe.scale, recipe.cache)
        self.val = find_pairs(recipe.root, recipe.val_split)
        read_label(self.val[0][1], recipe.classes)  # what is wrong with it is said before the training, not after
        self.weight = self._class_weights().to(device) if recipe.class_weights else None

    def _class_weights(self) -> torch.Tensor:
        return losses.softened_class_weights(torch.from_numpy(np.asarray(self.source.class_counts())))

    def build(self, arch: Arch) -> nn.Module:
        return ScaleNet(arch, num_classes=self.recipe.classes, labels=DATASETS.get(Path(self.recipe.root).name.lower()))

    def trunk(self, model: nn.Module) -> ScaleNet:
        return model

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.recipe.ohem:
            return losses.ohem_cross_entropy(output, target, self.recipe.ohem, self.recipe.ohem_pixels, self.weight)
        return losses.cross_entropy(output, target, self.weight)

    def calibration(self, pictures: int, batch: int = 4) -> Iterator[torch.Tensor]:
        """Training pictures spread over the split, at full size and as they are validated, for BatchNorm statistics."""

        def load(i: int) -> np.ndarray:
            return pad_to_multiple(self.source.load(i)[0], COARSEST)

        return spread(load, len(self.source), pictures, batch, self.device)

    def evaluate(self, model: nn.Module, limit: int = 0) -> dict[str, float]:
        """mIoU on the validation pictures at full size, one by one."""
        pairs = self.val[: limit or None]
        segmenter = Segmenter(fold(model), self.device, resize=False)
        results = segmenter.stream(picture for picture, _ in pairs)
        matrix = count(pairs, (result.mask for result in results), self.recipe.classes)
        return {"miou": matrix.miou(), "pixel_accuracy": matrix.pixel_accuracy()}


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


TASKS = {
    "classification": ClassificationTask, "segmentation": SegmentationTask, "pose": PoseTask, "bottomup": BottomUpTask,
}  # fmt: skip
