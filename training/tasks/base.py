"""What a task tells the engine: the network, the data, the losses and the score; and what most tasks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from scalenet.arch import Arch
from scalenet.fuse import fold
from scalenet.models.checkpoint import read_weights, select
from scalenet.network import ScaleNet

from ..config import Recipe
from ..data import Size, spread
from ..start import start_file
from .losses import distillation

Metrics = Mapping[str, Any]  # numbers; None where nobody counts


class Task(ABC):
    """One kind of training. A task holds ``recipe``, ``device`` and the training ``source``."""

    metric: str  # of what ``evaluate`` returns, the one that says which network is better
    source: Any  # a Source, with what the task itself asks of it
    calibration_batch = 32
    sized = False  # whether inputs have a size of their own, and not the images'
    teaches_largest = False  # whether the teacher has something to tell the largest network of the space

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device

    @abstractmethod
    def build(self, arch: Arch) -> nn.Module:
        """The network of an architecture with random weights."""

    @abstractmethod
    def loss(self, output: Any, *targets: torch.Tensor) -> torch.Tensor:
        """What a batch's outputs cost; ``targets`` are what the source gives beside the image."""

    def calibration(
        self, images: int, batch: int = 0, size: Size | None = None, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """Inputs (B, 3, H, W) from training images, as they are, for BatchNorm statistics.

        Args:
            batch: images that run together; default ``calibration_batch``.
            size: (H, W); default the recipe's.
            seed: 0 spreads the images evenly over the split, any other number draws them.
        """
        load = partial(self.source.load, size=size or self.recipe.size)
        return spread(load, len(self.source), images, batch or self.calibration_batch, self.device, seed)

    @abstractmethod
    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> Metrics:
        """Metrics of a network in evaluation mode on the validation images (the first ``limit``).

        Args:
            size: (H, W) of its inputs; default the recipe's.
        """

    @property
    def validation(self) -> str:
        """What :meth:`evaluate` looks at ``val_split`` of, for people."""
        return Path(self.recipe.root).name

    def backbone(self, model: nn.Module) -> ScaleNet:
        """The multi-resolution network within what :meth:`build` made."""
        return cast(ScaleNet, model)

    def teacher(self) -> nn.Module:
        """The network of the file or name ``recipe.teacher``: the largest of the space, folded, in evaluation mode.

        Raises:
            LookupError, OSError, WeightsError: if it is missing or another network's.
        """
        teacher = self.build(self.recipe.space.supernet())
        state = read_weights(start_file(self.recipe.teacher))[0]
        teacher.load_state_dict(select(state, teacher, f"teacher {self.recipe.teacher}"))
        self.backbone(teacher).activate(self.recipe.space.largest())
        return fold(teacher)

    def distillation(self, output: Any, wanted: Any) -> torch.Tensor:
        """How far a network's outputs are from a better one's."""
        return distillation(output, wanted)
