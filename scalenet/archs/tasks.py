"""Everything that differs between the tasks of a network, in one frozen value for each (no torch here)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..data.labels import COCO, CROWDPOSE, Labels
from ..runtime.errors import did_you_mean

HEAD_BLOCKS = 4  # basic blocks of the bottom-up head


class WrongTask(ValueError):
    """A network for something else than is wanted; ``task`` says what."""

    def __init__(self, message: str, task: str) -> None:
        super().__init__(message)
        self.task = task


@dataclass(frozen=True)
class Conv:
    """One convolution: channels in and out, kernel, log2 of its output's stride, with bias or followed by BN."""

    cin: int
    cout: int
    kernel: int
    level: int
    bias: bool = False
    norm: bool = True


@dataclass(frozen=True)
class TaskSpec:
    """One task. w is the width of branch 0, n the number of outputs (classes or keypoints; 0: no classifier).

    Args:
        name: "segmentation", "pose" or "bottomup".
        title: the same for people.
        architecture: the task of the architectures it runs on (:data:`scalenet.archs.arch.TASKS`).
        branches: those that the head reads; coarser ones are brought to the size of the first and concatenated.
        head_convs: (w, n) to the head's convolutions, for counting.
        classifiers: the modules that n shapes, by name in the network; the last one has a bias value for each output.
        classifier_std: standard deviation of a new classifier's weights.
        default_outputs: n where nothing else is said.
        output_names: what a network gives, in order.
        full_size: whether the output is resized to the input.
        people: whether the outputs are joints of people.
        boxed: whether it looks at one person in a box at a time.
        likely_labels: what outputs mean that nobody has named, by their number.
        noun: what one output is called where that is not known either.
        pipeline_tag: the Hugging Face Hub's name for it.
        predictor: the class in :mod:`scalenet` that turns images into results.
    """

    name: str
    title: str
    encoding: str
    branches: tuple[int, ...]
    head_convs: Callable[[int, int], Iterator[Conv]]
    classifiers: tuple[str, ...]
    classifier_std: float
    default_outputs: int
    output_names: tuple[str, ...]
    full_size: bool
    people: bool
    boxed: bool
    likely_labels: tuple[Labels, ...]
    noun: str
    pipeline_tag: str
    predictor: str

    def num_features(self, width: int) -> int:
        """Channels that the head reads."""
        return sum(width << branch for branch in self.branches)

    @property
    def head(self) -> str:
        """The head's name in the network."""
        return self.classifiers[0].partition(".")[0]

    @property
    def classifier(self) -> str:
        """The last layer's name in the network; the head's where the outputs shape more than one layer of it."""
        return self.classifiers[0] if len(self.classifiers) == 1 else self.head

    def labels_of(self, labels: Labels | None, outputs: int) -> Labels:
        """``labels``, or of a network that names nothing the likely ones, or numbers."""
        likely = (known for known in self.likely_labels if len(known.names) == outputs)
        return labels or next(likely, None) or Labels.plain(outputs, noun=self.noun)


def _segmentation_convs(width: int, outputs: int) -> Iterator[Conv]:
    channels = SEGMENTATION.num_features(width)
    yield Conv(channels, channels, 1, 2, bias=True)
    if outputs:
        yield Conv(channels, outputs, 1, 2, bias=True, norm=False)


def _pose_convs(width: int, outputs: int) -> Iterator[Conv]:
    if outputs:
        yield Conv(width, outputs, 1, 2, bias=True, norm=False)


def _bottomup_convs(width: int, outputs: int) -> Iterator[Conv]:
    if outputs:
        yield Conv(width, 2 * outputs, 1, 2, bias=True, norm=False)
    # transposed: its 16 weights meet each pixel of its input, at stride 4
    yield Conv(width + 2 * outputs, width, 4, 2)
    yield from [Conv(width, width, 3, 1)] * (2 * HEAD_BLOCKS)
    if outputs:
        yield Conv(width, outputs, 1, 1, bias=True, norm=False)


SEGMENTATION = TaskSpec(
    "segmentation", "segmentation", "segmentation", (0, 1, 2, 3), _segmentation_convs,
    ("last_layer.3",), 0.01,
    default_outputs=19, output_names=("logits",), full_size=True, people=False, boxed=False, likely_labels=(),
    noun="class", pipeline_tag="image-segmentation", predictor="Segmenter",
)  # fmt: skip

POSE = TaskSpec(
    "pose", "top-down pose", "pose", (0,), _pose_convs, ("final_layer",), 0.001,
    default_outputs=17, output_names=("heatmaps",), full_size=False, people=True, boxed=True, likely_labels=(COCO,),
    noun="joint", pipeline_tag="keypoint-detection", predictor="PoseEstimator",
)  # fmt: skip

BOTTOMUP = TaskSpec(
    "bottomup", "bottom-up", "pose", (0,), _bottomup_convs,
    ("bottomup_layer.stride4", "bottomup_layer.up.0", "bottomup_layer.stride2"), 0.001,
    default_outputs=17, output_names=("heatmaps", "tags", "heatmaps_x2"), full_size=False, people=True, boxed=False,
    likely_labels=(COCO, CROWDPOSE), noun="joint", pipeline_tag="keypoint-detection",
    predictor="BottomUpPoseEstimator",
)  # fmt: skip

TASKS: Mapping[str, TaskSpec] = MappingProxyType({spec.name: spec for spec in (SEGMENTATION, POSE, BOTTOMUP)})


def task_spec(name: str) -> TaskSpec:
    """The task of a name.

    Raises:
        ValueError: for another name; says which there are and which is nearest.
    """
    if isinstance(name, str) and name in TASKS:
        return TASKS[name]
    text = str(name)[:40]
    hint = did_you_mean(text.lower(), TASKS)
    raise ValueError(f"task must be one of {', '.join(TASKS)}, got {text!r}{hint and f'; {hint}'}")
