"""Scores a sub-network of a trained supernet: activate, recalibrate BatchNorm, run validation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from scalenet.archs.arch import Arch
from scalenet.archs.cost import count
from scalenet.data.labels import Labels
from scalenet.models.checkpoint import WeightsError, digest_of, read_metadata, read_weights, select
from scalenet.models.metadata import CheckpointMetadata
from scalenet.nn.network import ScaleNet
from training import distributed
from training.config import Recipe
from training.recalibrate import recalibrate
from training.tasks import TASKS

from .archive import Record
from .latency import Timing, measure_latency

Size = tuple[int, int]


@dataclass(frozen=True)
class EvaluatorPlan:
    """What an evaluator is made of, wherever it is made.

    Args:
        supernet: a weight file of the training package, which names its space.
        recipe: the training recipe whose task and data score.
        calibration: training images for BatchNorm statistics.
        limit: validation images, 0: all.
        timing: how the latency is measured; None: it is not.
    """

    supernet: str | Path
    recipe: Recipe
    calibration: int = 32
    limit: int = 0
    timing: Timing | None = None


@dataclass(frozen=True)
class Supernet:
    """A supernet's weights, tensors or float32 arrays, and what its file says of it."""

    state: Mapping[str, torch.Tensor | np.ndarray]
    metadata: CheckpointMetadata

    def as_arrays(self) -> Supernet:
        """The same as arrays, which processes can share."""
        arrays = {k: torch.as_tensor(v).float().numpy() for k, v in self.state.items()}
        return replace(self, state=arrays)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights, for a network to copy."""
        return {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in self.state.items()}


def read_supernet(file: str | Path) -> Supernet:
    """A supernet's weight file; errors are :func:`~scalenet.models.checkpoint.read_weights`'s."""
    return Supernet(read_weights(file)[0], read_metadata(file))


class Evaluator:
    """A supernet with the data to score its sub-networks on.

    Args:
        join: whether the processes of ``torchrun`` score together; see :func:`training.distributed.start`.
        supernet: what the plan's file holds, where that cannot be read.
    """

    def __init__(self, plan: EvaluatorPlan, join: bool = True, supernet: Supernet | None = None) -> None:
        self.plan, recipe, self.file = plan, plan.recipe, Path(plan.supernet)
        supernet = supernet or read_supernet(self.file)
        self.metadata = supernet.metadata
        if self.metadata.space is None:
            raise WeightsError(f"{plan.supernet} is not a supernet of the training package (it names no search space)")
        self.space = self.metadata.space
        self.device = distributed.start(recipe.run.device, join)
        self.task = TASKS[recipe.task](recipe, self.device)
        self.limit, self.metric = plan.limit, self.task.metric
        self.model = self.task.backbone(self.task.build(self.space.supernet()))
        self.model.load_state_dict(select(supernet.tensors(), self.model, str(plan.supernet)))
        self.model.to(self.device).to(memory_format=torch.channels_last).eval()
        self.calibration = plan.calibration
        self._batches: dict[tuple[Size | None, int], list[torch.Tensor]] = {}

    @property
    def identity(self) -> dict[str, str | int]:
        """What its scores depend on, the architectures apart."""
        recipe, timing = self.task.recipe, self.plan.timing
        timed = {"latency": timing.described(self.device)} if timing else {}
        return {
            "supernet": digest_of(self.file), "recipe": recipe.name, "data": Path(recipe.data.root).name,
            "split": recipe.data.split, "val_split": recipe.data.val_split, "calibration": self.calibration,
            "limit": self.limit, **timed,
        }  # fmt: skip

    def size(self, arch: Arch) -> Size | None:
        """(H, W) that an architecture is run at, None where the images say it (at the space's own size)."""
        return arch.input_size if self.task.sized or arch.input_size != self.space.input_size else None

    def batches(self, arch: Arch, seed: int = 0) -> list[torch.Tensor]:
        """The training images for an architecture's BatchNorm statistics; another seed draws other ones."""
        size = self.size(arch)
        if (size, seed) not in self._batches:
            self._batches[size, seed] = list(self.task.calibration(self.calibration, size=size, seed=seed))
        return self._batches[size, seed]

    def score(self, arch: Arch, generation: int = 0, seed: int = 0) -> Record:
        """Recalibrate, on the images of ``seed``, and validate one sub-network."""
        started = time.monotonic()
        with self.model.activated(self.space.validate(arch)):
            recalibrate(self.model, self.batches(arch, seed))
            metrics = self.task.evaluate(self.model, self.limit, self.size(arch))
        spent = count(
            arch, self.size(arch) or self.model.arch.input_size, task=self.model.task, outputs=self.model.num_classes
        )
        latency = self._latency(arch)
        seconds = round(time.monotonic() - started, 2)
        return Record(arch, metrics[self.metric], spent.macs, spent.params, generation, seconds, latency)

    def _latency(self, arch: Arch) -> float:
        """Milliseconds, 0 where they are not asked for."""
        if self.plan.timing is None:
            return 0.0
        network = self.task.backbone(self.task.build(arch))
        return round(measure_latency(network, network.arch.input_size, self.device, self.plan.timing), 3)

    def derived(self, network: ScaleNet, labels: Labels | None, searched: int) -> CheckpointMetadata:
        """What is known of weights that come out of the supernet as they are; nothing is measured yet.

        Args:
            network: what of it they are.
            searched: how many architectures it is the best of.
        """
        return replace(
            self.metadata, arch=network.arch, task=network.task, labels=labels, metrics={}, searched=searched,
            datasets=self.metadata.datasets or (Path(self.task.recipe.data.root).name,), protocol="", command="",
            init=self.file.name, parent_sha256=digest_of(self.file), network="",
            batchnorm=f"recalibrated on {self.calibration} training images",
        )  # fmt: skip

    def static(self, arch: Arch) -> ScaleNet:
        """The static network of ``arch`` with the supernet's weights and statistics of its own, in evaluation mode."""
        network = self.task.backbone(self.task.build(arch))
        network.to(self.device).to(memory_format=torch.channels_last).eval()
        network.load_state_dict(select(self.model.state_dict(), network, "the supernet"))
        recalibrate(network, self.batches(arch))
        return network
