"""What differs between tasks: the network, the data, the loss and the score. The engine knows only this."""

from .bottomup import BottomUpTask
from .classification import ClassificationTask
from .pose import PoseTask
from .segmentation import SegmentationTask

TASKS = {
    "classification": ClassificationTask, "segmentation": SegmentationTask, "pose": PoseTask, "bottomup": BottomUpTask,
}  # fmt: skip
