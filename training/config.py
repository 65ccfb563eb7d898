"""Training recipes: frozen, grouped, validated when created, changed by ``key=value`` overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from scalenet.archs.arch import SearchSpace
from scalenet.runtime.errors import nearest

from .checks import Choices, RecipeError, Settings
from .settings import (
    AugmentationSettings,
    DataSettings,
    DistillationSettings,
    LossSettings,
    OptimisationSettings,
    RunSettings,
    ScheduleSettings,
)

OF_THE_MACHINE = (  # may differ when a run is resumed
    "out", "device", "workers", "cache", "save_minutes", "validate_minutes", "validations", "patience", "autocast",
    "checkpointing", "compile",
)  # fmt: skip
OF_THE_NETWORK = ("name", "task", "mode", "space", "arch", "classes", "init")  # may not: it would be another run


@dataclass(frozen=True)
class Recipe(Settings):
    """The settings of one training run: its network here, all else in groups.

    Every setting has a name of its own over all groups: ``Recipe.of(name=..., lr=...)`` and ``recipe.changed(lr=...)``
    take them flat, as ``lr=2e-3`` on the command line does, and ``recipe.optimisation.lr`` is where it is read.

    Attributes:
        name: what the recipe is called.
        task: "classification", "segmentation", "pose", "bottomup" or "distillation".
        mode: "standalone" trains one architecture, "supernet" one sub-network of ``space`` a step, or several.
        space: the search space.
        data: what it learns from.
        schedule: how long it is, and what its steps see.
        arch: of a standalone run: largest, smallest, hrnet or a JSON file.
        classes: number of classes or joints.
        init: weight file or name of the network that it begins with, "" for random weights.
        init_partial: whether more than a tenth of the backbone may stay random then.

    Raises:
        RecipeError: for an invalid value.
    """

    name: str
    task: str
    mode: str
    space: SearchSpace
    data: DataSettings
    schedule: ScheduleSettings
    arch: str = "largest"
    classes: int = 0
    init: str = ""
    init_partial: bool = False
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimisation: OptimisationSettings = field(default_factory=OptimisationSettings)
    distillation: DistillationSettings = field(default_factory=DistillationSettings)
    run: RunSettings = field(default_factory=RunSettings)

    GROUPS: ClassVar[Mapping[str, type[Settings]]] = {
        "data": DataSettings, "schedule": ScheduleSettings, "augmentation": AugmentationSettings,
        "loss": LossSettings, "optimisation": OptimisationSettings, "distillation": DistillationSettings,
        "run": RunSettings,
    }  # fmt: skip
    CHOICES: ClassVar[Choices] = {
        "task": ("classification", "segmentation", "pose", "bottomup", "distillation"),
        "mode": ("standalone", "supernet"),
    }
    NOT_BELOW_0 = ("classes",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distillation.sandwich and self.mode != "supernet":
            raise RecipeError("sandwich is for a supernet")
        if self.run.compile and self.mode == "supernet":
            raise RecipeError("compile is for a single architecture: a supernet runs another one in every step")
        weights = self.loss.fixed_weights
        if weights and len(weights) != self.classes:
            raise RecipeError(f"fixed_weights are {len(weights)}, classes={self.classes}")
        changeable = [key for key in self.fields() if key not in (*OF_THE_NETWORK, "change")]
        for key in self.run.change:
            if key not in changeable:
                raise RecipeError(f"change={key}: no field that a run may change; {nearest(key, changeable)}")
