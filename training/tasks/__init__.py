"""What differs between tasks: the network, the data, the loss and the score. The engine knows only this."""

from collections.abc import Callable

import torch

from ..config import Recipe
from .base import Task
from .bottomup import BottomUpTask
from .classification import ClassificationTask
from .distillation import DistillationTask
from .pose import PoseTask
from .segmentation import SegmentationTask

TASKS: dict[str, Callable[[Recipe, torch.device], Task]] = {
    "classification": ClassificationTask, "segmentation": SegmentationTask, "pose": PoseTask, "bottomup": BottomUpTask,
    "distillation": DistillationTask,
}  # fmt: skip
