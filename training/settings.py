"""The groups of a training recipe's settings. Sizes are (H, W) in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scalenet.data.labels import CONVENTIONS

from .checks import Choices, RecipeError, Settings, check_height_width, check_range


@dataclass(frozen=True)
class DataSettings(Settings):
    """What a run learns from and is validated on.

    Attributes:
        root: the data set's folder.
        more_roots: folders learned from beside it.
        split: what is learned from; several are joined by "+".
        val_split: what is validated on.
        hold_out: segmentation images whose names begin with this are validated on and not learned from.
        backgrounds: folders of images without people, for composed crowds.
        neighbours: a file of ``python -m training neighbours``, which says where people without labels are in
            photographs that show others.
        cache: whether a segmentation split's images are held in memory.
        damaged: what a damaged image does in mid-run: "stop" it, or "skip" to another image, which is counted and
            named.
    """

    root: str
    more_roots: tuple[str, ...] = ()
    split: str = "train"
    val_split: str = "val"
    hold_out: str = ""
    backgrounds: tuple[str, ...] = ()
    neighbours: str = ""
    cache: bool = True
    damaged: str = "stop"

    CHOICES: ClassVar[Choices] = {"damaged": ("stop", "skip")}


@dataclass(frozen=True)
class AugmentationSettings(Settings):
    """How images are changed before they are learned from.

    Attributes:
        scale: least and most factor of a segmentation or bottom-up image's size.
        scale_draw: how a segmentation image's factor is drawn: evenly in its logarithm ("log"), evenly ("even"), or
            evenly of the tenths ("tenths").
        mix: probability that a segmentation image gets classes of another one pasted in.
        dusk: strength of changes of light, 0 to 1.
        rotation: largest angle of a person or a bottom-up image, degrees.
        rescale: largest change of a person's size, as a share of it.
        half_body: probability that a person is cut in half.
        upper_half: probability that the upper half of such a person is kept.
        colour: strength of changes of colour.
        people: fewest and most people of a composed crowd.
        silence: share of composed images with nobody in them.
        scenes: share of whole photographs among the others.
        mosaic: share of these that show several photographs side by side, and so people who are small.
    """

    scale: tuple[float, float] = (0.5, 2.1)
    scale_draw: str = "log"
    mix: float = 0.0
    dusk: float = 0.0
    rotation: float = 45.0
    rescale: float = 0.35
    half_body: float = 0.3
    upper_half: float = 0.5
    colour: float = 0.3
    people: tuple[int, int] = (1, 5)
    silence: float = 0.0
    scenes: float = 0.0
    mosaic: float = 0.0

    CHOICES: ClassVar[Choices] = {"scale_draw": ("log", "even", "tenths")}
    NOT_BELOW_0 = ("rotation", "colour")
    SHARES = ("mix", "dusk", "rescale", "half_body", "upper_half", "silence", "scenes", "mosaic")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("scale", self.scale, 1e-6)
        check_range("people", self.people, 1)


@dataclass(frozen=True)
class LossSettings(Settings):
    """What outputs are compared with, and how the terms of the loss are weighed.

    Attributes:
        ohem: if not 0, the probability below which a segmentation pixel is hard; only hard ones count.
        ohem_pixels: hard pixels of a batch that count at least.
        class_weights: whether a class weighs more the rarer it is.
        fixed_weights: a weight for each class instead.
        lovasz: weight of the Lovasz loss beside cross-entropy.
        convention: pixel convention of heatmaps, "" for the data set's.
        sigma: of a joint's peak in heatmap pixels; 0 goes by the size of the crop.
        decode: how validation finds joints: "quarter" (a quarter pixel towards the higher neighbour) or "dark"; "" is
            dark, or with ``peaks`` by expected similarity.
        absent: weight of the empty heatmaps of joints that a crop does not show.
        flip_pairs: weight of the error of the difference between a left and a right joint's heatmaps.
        peaks: weight of the divergence of the places that heatmaps point to.
        tags: weight of the loss of bottom-up tags.
    """

    ohem: float = 0.0
    ohem_pixels: int = 131072
    class_weights: bool = True
    fixed_weights: tuple[float, ...] = ()
    lovasz: float = 0.0
    convention: str = ""
    sigma: float = 0.0
    decode: str = ""
    absent: float = 0.0
    flip_pairs: float = 0.0
    peaks: float = 0.0
    tags: float = 1e-3

    CHOICES: ClassVar[Choices] = {"convention": ("", *CONVENTIONS), "decode": ("", "quarter", "dark")}
    ABOVE_0 = ("ohem_pixels",)
    NOT_BELOW_0 = ("lovasz", "sigma", "absent", "flip_pairs", "peaks", "tags")
    SHARES = ("ohem",)


@dataclass(frozen=True)
class OptimisationSettings(Settings):
    """How a step changes the weights.

    Attributes:
        optimizer: "adamw", "adam" or "sgd".
        lr: the learning rate that :class:`ScheduleSettings` begins with.
        weight_decay: of kernels.
        decay_vectors: whether biases and BatchNorm are decayed too.
        momentum: of SGD.
        eps: Adam's; heatmap losses have gradients so small that 1e-8 slows them down.
        clip: largest norm of the gradient, 0 for any.
        bn_momentum: share of a batch in BatchNorm's running statistics.
        batchnorm: on several GPUs "sync" looks at all their images, "local" at each one's own, "auto" is sync where a
            GPU has fewer than 8; "frozen" keeps the statistics of the start.
        ema: if not 0, the decay of a moving average of the weights, which is what the run gives.
    """

    optimizer: str = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.05
    decay_vectors: bool = False
    momentum: float = 0.9
    eps: float = 1e-8
    clip: float = 5.0
    bn_momentum: float = 0.1
    batchnorm: str = "auto"
    ema: float = 0.0

    CHOICES: ClassVar[Choices] = {
        "optimizer": ("adamw", "adam", "sgd"),
        "batchnorm": ("auto", "sync", "local", "frozen"),
    }
    ABOVE_0 = ("lr",)
    NOT_BELOW_0 = ("weight_decay", "eps", "clip")
    SHARES = ("momentum", "bn_momentum", "ema")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ema == 1:
            raise RecipeError(f"ema must lie in 0..1, 1 left out, got {self.ema}")


@dataclass(frozen=True)
class ScheduleSettings(Settings):
    """How long a run is, and what its steps see.

    It ends after ``steps`` steps or as many as fit into ``minutes`` minutes, whichever is set and comes first.

    Attributes:
        steps: number of steps, 0 for what the minutes allow.
        least_steps: fewest steps, however few minutes.
        minutes: minutes of training, 0 for any.
        batch: images a step, of all processes together.
        size: (H, W) of images.
        sizes: other (H, W); a step draws one of all.
        early_size: (H, W) in the first ``early`` share of the run.
        early: that share.
        decay: how the learning rate falls: "poly" (power 0.9), "cosine", or "steps" of a tenth at ``milestones``.
        milestones: shares of the run.
        warmup: steps over which the learning rate rises first.
    """

    steps: int = 0
    least_steps: int = 0
    minutes: float = 0.0
    batch: int = 8
    size: tuple[int, int] = (256, 320)
    sizes: tuple[tuple[int, int], ...] = ()
    early_size: tuple[int, int] = (256, 320)
    early: float = 0.0
    decay: str = "poly"
    milestones: tuple[float, ...] = ()
    warmup: int = 50

    CHOICES: ClassVar[Choices] = {"decay": ("poly", "cosine", "steps")}
    ABOVE_0 = ("batch",)
    NOT_BELOW_0 = ("steps", "least_steps", "minutes", "warmup")
    SHARES = ("early",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, sizes in (("size", (self.size,)), ("early_size", (self.early_size,)), ("sizes", self.sizes)):
            for size in sizes:
                check_height_width(key, size)
        if not all(0 <= m <= 1 for m in self.milestones):
            raise RecipeError(f"milestones are shares of the run, from 0 to 1, got {self.milestones}")
        if not self.steps and not self.minutes:
            raise RecipeError("a recipe needs steps or minutes")


@dataclass(frozen=True)
class DistillationSettings(Settings):
    """Who teaches whom, and which sub-networks of a supernet a step trains.

    Attributes:
        teacher: weight file or name of the network whose outputs are taught, "" for none.
        distill: weight of the difference to them.
        distill_largest: whether the teacher teaches the largest network too.
        sandwich: if not 0, a step trains the largest network, the smallest and this many sampled ones.
        inplace: weight of the difference to the outputs of a sandwich's largest network.
        largest_last: whether the largest network comes last in a supernet's cycle and not second.
    """

    teacher: str = ""
    distill: float = 0.5
    distill_largest: bool = False
    sandwich: int = 0
    inplace: float = 0.0
    largest_last: bool = False

    NOT_BELOW_0 = ("distill", "sandwich", "inplace")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inplace and not self.sandwich:
            raise RecipeError("inplace is for a sandwich: its largest network teaches")
        if self.largest_last and self.sandwich:
            raise RecipeError("largest_last is for a cycle of one sub-network a step: a sandwich begins with it")


@dataclass(frozen=True)
class RunSettings(Settings):
    """Where and how a run is run.

    Attributes:
        out: its folder, "" for ``out/training/NAME``.
        seed: of all that is drawn.
        device: "auto", "cpu", "cuda", "cuda:1" ...
        workers: processes that load images, 0 for none but the run's own.
        autocast: "bf16", "off" or "auto" (bf16 on a GPU).
        checkpointing: whether activations are computed again in the backward pass, which takes less memory and more
            time.
        compile: whether the network is compiled; for a single architecture.
        save_minutes: minutes between two checkpoints.
        validate_minutes: if not 0, minutes between two scores of the network, the best of which is kept.
        validations: if not 0, the network is scored at the ends of so many equal parts of the run.
        patience: if not 0, a run ends early after so many scores in a row that are not above its best (of fine-tuning,
            the start's included), and gives its best network rather than its last.
        change: settings in which a resumed run may differ from its checkpoint.
    """

    out: str = ""
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    autocast: str = "auto"
    checkpointing: bool = False
    compile: bool = False
    save_minutes: float = 5.0
    validate_minutes: float = 0.0
    validations: int = 0
    patience: int = 0
    change: tuple[str, ...] = ()

    CHOICES: ClassVar[Choices] = {"autocast": ("auto", "off", "bf16")}
    NOT_BELOW_0 = ("workers", "seed", "save_minutes", "validate_minutes", "validations", "patience")
