"""What a task tells the engine: the network, the data, the losses and the score; and what most tasks share."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.data.keypoints import Result
from scalenet.models.checkpoint import read_weights, select
from scalenet.nn.fuse import fold
from scalenet.nn.network import ScaleNet

from .. import distributed
from ..config import Recipe
from ..data import Size, spread
from ..start import start_file
from .losses import distillation

Metrics = Mapping[str, Any]  # numbers; None where nobody counts
Item = TypeVar("Item")


class Task(ABC):
    """One kind of training. A task holds ``recipe``, ``device`` and the training ``source``."""

    metric: str  # of what ``evaluate`` returns, the one that says which network is better
    source: Any  # a Source, with what the task itself asks of it
    calibration_batch = 32
    sized = False  # whether inputs have a size of their own, and not the images'
    shared = False  # whether all processes score one network together, or each one of its own (a search)
    teaches_largest = False  # whether the teacher has something to tell the largest network of the space

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device

    @abstractmethod
    def build(self, arch: Arch) -> nn.Module:
        """The network of an architecture with random weights."""

    def runner(self, model: nn.Module) -> nn.Module:
        """What is called in training to get the outputs that the losses look at: the network, or a part of its way."""
        return model

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
        load = partial(self.source.load, size=size or self.recipe.schedule.size)
        batch, skip = batch or self.calibration_batch, self.recipe.data.damaged == "skip"
        return spread(load, len(self.source), images, batch, self.device, seed, skip)

    @abstractmethod
    def evaluate(self, model: nn.Module, limit: int = 0, size: Size | None = None) -> Metrics:
        """Metrics of a network in evaluation mode on the validation images (the first ``limit``).

        Args:
            size: (H, W) of its inputs; default the recipe's.
        """

    def mine(self, items: Sequence[Item]) -> Sequence[Item]:
        """What of the validation this process looks at."""
        return distributed.share(items) if self.shared else items

    def merged(self, value: Item) -> list[Item]:
        """What each of those who look found."""
        return distributed.gathered_objects(value) if self.shared else [value]

    def results(self, found: Sequence[Result], image_ids: Sequence[Any]) -> list[Result]:
        """Everybody's results of people, in the order of the images."""
        order = {image_id: n for n, image_id in enumerate(image_ids)}
        return sorted(itertools.chain(*self.merged(found)), key=lambda result: order[result["image_id"]])

    @property
    def protocol(self) -> str:
        """How :meth:`evaluate` gets from outputs to metrics, where there is more than one way."""
        return ""

    def protocol_note(self) -> dict[str, str]:
        """:attr:`protocol` to stand beside metrics that are logged or printed; empty where there is one way alone."""
        return {"protocol": self.protocol} if self.protocol else {}

    @property
    def validation(self) -> str:
        """What :meth:`evaluate` looks at ``val_split`` of, for people."""
        return Path(self.recipe.data.root).name

    def backbone(self, model: nn.Module) -> ScaleNet:
        """The multi-resolution network within what :meth:`build` made."""
        return cast(ScaleNet, model)

    def teacher(self) -> nn.Module:
        """The network of the file or name ``recipe.teacher``: the largest of the space, folded, in evaluation mode.

        Raises:
            LookupError, OSError, WeightsError: if it is missing or another network's.
        """
        teacher = self.build(self.recipe.space.supernet())
        state = read_weights(start_file(self.recipe.distillation.teacher))[0]
        teacher.load_state_dict(select(state, teacher, f"teacher {self.recipe.distillation.teacher}"))
        self.backbone(teacher).activate(self.recipe.space.largest())
        return fold(teacher)

    def distillation(self, output: Any, wanted: Any) -> torch.Tensor:
        """How far a network's outputs are from a better one's."""
        return distillation(output, wanted)
