"""Photographs without labels: a backbone learns from a network that knows ImageNet's classes."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.nn.network import ScaleNet

from ..config import Recipe
from ..data import Size, spread
from ..data.photographs import PhotographSource
from .base import Task
from .classification import Classifier
from .teachers import CLASSES, Teacher, Wanted, find_teacher, load_teacher

TEMPERATURE = 2.0  # softens both networks' probabilities, so that the less likely classes count too
FEATURES = 2.0  # weight of the features' distance, 0..2, beside the logits' divergence
EVALUATED = 1000  # validation images, spread over the folders: more change the metrics little


class DistillationTask(Task):
    """``root`` and ``more_roots`` are folders of photographs; ``teacher`` is one of :mod:`training.tasks.teachers`."""

    metric = "agreement"
    teaches_largest = True

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        self.widths = find_teacher(recipe.distillation.teacher).widths
        roots = (recipe.data.root, *recipe.data.more_roots)
        self.source = PhotographSource(roots, recipe.data.split)
        self.held_out = PhotographSource(roots, recipe.data.val_split)
        self._teacher: Teacher | None = None

    def build(self, arch: Arch) -> nn.Module:
        """A classifier of ImageNet's classes, with the teacher's features to imitate."""
        return Classifier(arch, CLASSES, self.widths)

    def backbone(self, model: nn.Module) -> ScaleNet:
        """The classifier's network."""
        return cast(Classifier, model).network

    def teacher(self) -> nn.Module:
        """The teacher that the recipe names; see :func:`~training.tasks.teachers.load_teacher` for what it raises."""
        if self._teacher is None:
            self._teacher = load_teacher(self.recipe.distillation.teacher)
        return self._teacher

    def loss(self, output: Wanted, *targets: torch.Tensor) -> torch.Tensor:
        """Nothing: there are no labels."""
        return output.logits.float().sum() * 0

    def distillation(self, output: Wanted, wanted: Wanted) -> torch.Tensor:
        """The divergence of the logits and the weighted distance of the features, from any better network's."""
        features = feature_distance(output.fine, wanted.fine) + feature_distance(output.coarse, wanted.coarse)
        return divergence(output.logits, wanted.logits, TEMPERATURE) + FEATURES / 2 * features

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> dict[str, float]:
        """The share of held-out images whose first class is the teacher's, and the divergence from it in nats."""
        teacher = self.teacher().to(self.device)
        load = partial(self.held_out.load, size=size or self.recipe.schedule.size)
        same, nats, n = 0, 0.0, 0
        for x in spread(load, len(self.held_out), limit or EVALUATED, 100, self.device):
            logits, wanted = model(x).logits, teacher(x).logits
            same += int((logits.argmax(1) == wanted.argmax(1)).sum())
            nats += float(divergence(logits, wanted)) * len(x)
            n += len(x)
        return {"agreement": same / n, "divergence": nats / n}


def divergence(logits: torch.Tensor, wanted: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Kullback-Leibler divergence of (B, C) logits from the wanted ones, the batch's mean in nats.

    Both are divided by the temperature; times its square, gradients keep their size.
    """
    own, theirs = (F.log_softmax(x.float() / temperature, 1) for x in (logits, wanted.detach()))
    return F.kl_div(own, theirs, reduction="batchmean", log_target=True) * temperature**2


def feature_distance(features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """1 - the cosine between (B, c, h, w) features and the wanted ones, the mean over positions; 0..2, of any scale.

    Wanted features of another (h, w) are resized.
    """
    wanted = wanted.detach().float()
    if wanted.shape[2:] != features.shape[2:]:
        wanted = F.interpolate(wanted, size=features.shape[2:], mode="bilinear", align_corners=False)
    return 1 - F.cosine_similarity(features.float(), wanted, dim=1).mean()
