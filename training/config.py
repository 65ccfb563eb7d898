"""Training recipes: frozen, validated when created, changed by ``key=value`` overrides."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scalenet.arch import SearchSpace
from scalenet.labels import CONVENTIONS

CHOICES = {
    "task": ("classification", "segmentation", "pose", "bottomup", "distillation"), "mode": ("standalone", "supernet"),
    "optimizer": ("adamw", "adam", "sgd"), "decay": ("poly", "cosine", "steps"), "autocast": ("auto", "off", "bf16"),
    "batchnorm": ("auto", "sync", "local", "frozen"),
    "convention": ("", *CONVENTIONS), "decode": ("", "quarter", "dark"), "scale_draw": ("log", "even", "tenths"),
    "damaged": ("stop", "skip"),
}  # fmt: skip
ABOVE_0 = ("batch", "lr", "ohem_pixels")
SHARES = (
    "early", "momentum", "bn_momentum", "ohem", "mix", "dusk", "rescale", "half_body", "upper_half", "silence",
    "scenes",
)  # fmt: skip
NOT_BELOW_0 = (
    "distill", "sandwich", "inplace", "classes", "steps", "minutes", "warmup", "weight_decay", "eps", "clip", "lovasz",
    "least_steps", "rotation", "colour", "sigma", "absent", "flip_pairs", "peaks", "tags", "workers", "seed",
    "save_minutes", "validate_minutes", "validations", "patience",
)  # fmt: skip
OF_THE_MACHINE = (  # may differ when a run is resumed
    "out", "device", "workers", "cache", "save_minutes", "validate_minutes", "validations", "patience", "autocast",
    "checkpointing", "compile",
)  # fmt: skip
OF_THE_NETWORK = ("name", "task", "mode", "space", "arch", "classes", "init")  # may not: it would be another run


class RecipeError(ValueError):
    """An unknown recipe or key, or a value of the wrong kind."""


class TrainingError(RuntimeError):
    """A run that cannot start, resume or go on."""


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run. Sizes are (H, W); ``batch`` is the total over all processes.

    ``mode``: "standalone" trains one architecture (``arch``: largest, smallest, hrnet or a JSON file), "supernet" one
    sub-network of ``space`` a step, or with ``sandwich`` = n the largest, the smallest and n sampled ones. ``init`` and
    ``teacher`` are weight files or names of networks; what ``init`` lacks stays random, which may be more than a tenth
    of the backbone only with ``init_partial``. ``distill`` weighs the difference to the teacher's
    outputs, ``inplace`` that to the outputs of the step's largest network. ``ema``, if not 0, is the decay of a moving
    average of the weights, which is what the run gives. The run ends after ``steps`` steps or as many as fit into
    ``minutes`` minutes, whichever is set and comes first, however few minutes after ``least_steps``.
    The first ``early`` share of the run uses ``early_size``
    images; after it each step draws one of ``size`` and ``sizes``. ``more_roots`` are data folders learned from
    beside ``root``.

    ``classes`` are classes or joints. Of segmentation: ``ohem``, if not 0, is the probability below which a pixel is
    hard, of which ``ohem_pixels`` are kept at least; ``scale_draw`` says how a sample's scale is drawn: evenly in its
    logarithm, evenly, or evenly of the tenths; ``class_weights`` weighs classes by how rare they are,
    ``fixed_weights`` (one for each) as they say; ``cache`` holds a split's images in memory; ``lovasz`` weighs the
    Lovasz loss beside cross-entropy; ``mix`` is the probability that a sample gets classes of another image pasted in;
    ``dusk`` is the strength of changes of light; images whose names begin with ``hold_out`` are validated on and not
    learned from. ``split`` may join several by "+".

    For pose, ``rotation`` (degrees), ``rescale``, ``half_body`` and ``colour`` are the augmentation's; of people cut
    in half the upper one stays with the probability ``upper_half``; ``sigma`` 0 goes by the size of the crop;
    ``convention`` is the heatmaps', default the data set's; ``decode`` is how validation finds joints, quarter (a
    quarter pixel towards the higher neighbour) or dark, default dark, with ``peaks`` by expected similarity;
    ``absent`` weighs the empty heatmaps of joints that a crop does not show; ``flip_pairs`` weighs the error of the
    difference between a left and a right joint's heatmaps beside the heatmaps', ``peaks`` the divergence of the places
    they point to. Bottom-up, ``tags`` weighs the tags' loss, ``people`` are the fewest and most of a composed crowd,
    ``backgrounds`` folders of images without people, ``silence`` the share of samples with nobody in them and
    ``scenes`` that of whole photographs among the others, in which ``neighbours`` (a file of ``python -m training
    neighbours``) says where people without labels are. ``eps`` is Adam's: heatmap losses have gradients so small that
    1e-8 slows them down.

    ``autocast`` is bf16, off or auto (bf16 on a GPU). ``batchnorm`` of several GPUs: sync looks at all their images,
    local at each one's own, auto is sync where a GPU has fewer than 8; frozen keeps the statistics of the start.
    ``checkpointing`` computes activations again in the backward pass, which takes less memory and more time;
    ``compile`` is for a single architecture. The teacher teaches the largest network too with ``distill_largest``.

    ``damaged`` says what a damaged image does in mid-run: stop it, or skip to another image, which is counted and
    named. ``validate_minutes``, if not 0, scores the network about as often, ``validations`` at the ends of so many
    equal parts of the run, and the best one is kept. With ``patience`` a run ends early after so many scores in a row
    that are not above its best (of fine-tuning, the start's included), and gives its best network rather than its last.
    With ``largest_last`` the largest network comes last in a supernet's cycle and not second.

    ``change`` names fields in which a resumed run may differ from its checkpoint.

    Raises:
        RecipeError: for an invalid value.
    """

    name: str
    task: str
    mode: str
    root: str
    space: SearchSpace
    arch: str = "largest"
    init: str = ""
    init_partial: bool = False
    teacher: str = ""
    distill: float = 0.5
    distill_largest: bool = False
    sandwich: int = 0
    largest_last: bool = False
    inplace: float = 0.0
    ema: float = 0.0
    classes: int = 0
    split: str = "train"
    val_split: str = "val"
    more_roots: tuple[str, ...] = ()
    hold_out: str = ""
    steps: int = 0
    least_steps: int = 0
    minutes: float = 0.0
    batch: int = 8
    size: tuple[int, int] = (256, 320)
    early_size: tuple[int, int] = (256, 320)
    early: float = 0.0
    sizes: tuple[tuple[int, int], ...] = ()
    optimizer: str = "adamw"
    lr: float = 4e-3
    decay: str = "poly"
    milestones: tuple[float, ...] = ()
    warmup: int = 50
    weight_decay: float = 0.05
    decay_vectors: bool = False
    momentum: float = 0.9
    eps: float = 1e-8
    clip: float = 5.0
    bn_momentum: float = 0.1
    scale: tuple[float, float] = (0.5, 2.1)
    scale_draw: str = "log"
    ohem: float = 0.0
    ohem_pixels: int = 131072
    class_weights: bool = True
    fixed_weights: tuple[float, ...] = ()
    cache: bool = True
    lovasz: float = 0.0
    mix: float = 0.0
    dusk: float = 0.0
    rotation: float = 45.0
    rescale: float = 0.35
    half_body: float = 0.3
    upper_half: float = 0.5
    colour: float = 0.3
    sigma: float = 0.0
    convention: str = ""
    decode: str = ""
    absent: float = 0.0
    flip_pairs: float = 0.0
    peaks: float = 0.0
    tags: float = 1e-3
    people: tuple[int, int] = (1, 5)
    backgrounds: tuple[str, ...] = ()
    silence: float = 0.0
    scenes: float = 0.0
    neighbours: str = ""
    damaged: str = "stop"
    validate_minutes: float = 0.0
    validations: int = 0
    patience: int = 0
    workers: int = 0
    seed: int = 0
    device: str = "auto"
    autocast: str = "auto"
    batchnorm: str = "auto"
    checkpointing: bool = False
    compile: bool = False
    save_minutes: float = 5.0
    out: str = ""
    change: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, choices in CHOICES.items():
            _check_choice(key, getattr(self, key), choices)
        self._check(SHARES, lambda v: 0 <= v <= 1, "{0} is from 0 to 1, got {1}")
        self._check(ABOVE_0, lambda v: v > 0, "{0}={1} must be above 0")
        self._check(NOT_BELOW_0, lambda v: v >= 0, "{0}={1} must not be below 0")
        self._check(("ema",), lambda v: 0 <= v < 1, "ema must lie in 0..1, 1 left out, got {1}")
        self._check_ranges()
        if not self.steps and not self.minutes:
            raise RecipeError(f"recipe {self.name} needs steps or minutes")
        if (self.sandwich and self.mode != "supernet") or (self.inplace and not self.sandwich):
            raise RecipeError("sandwich is for a supernet, and inplace for a sandwich: its largest network teaches")
        if self.compile and self.mode == "supernet":
            raise RecipeError("compile is for a single architecture: a supernet runs another one in every step")
        if self.fixed_weights and len(self.fixed_weights) != self.classes:
            raise RecipeError(f"fixed_weights are {len(self.fixed_weights)}, classes={self.classes}")
        if self.largest_last and self.sandwich:
            raise RecipeError("largest_last is for a cycle of one sub-network a step: a sandwich begins with it")
        fields = [f.name for f in dataclasses.fields(self) if f.name not in (*OF_THE_NETWORK, "change")]
        for key in self.change:
            if key not in fields:
                raise RecipeError(f"change={key}: no field that a run may change; {nearest(key, fields)}")

    def _check(self, keys: Iterable[str], fits: Callable[[float], bool], words: str) -> None:
        """Refuse numbers that do not fit, NaN and infinity among them, in ``words`` of the field and its value."""
        for key in keys:
            value = getattr(self, key)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or not fits(value):
                raise RecipeError(words.format(key, value))

    def _check_ranges(self) -> None:
        for key in ("size", "early_size"):
            _check_size(key, getattr(self, key))
        for size in self.sizes:
            _check_size("sizes", size)
        for key, least in (("scale", 1e-6), ("people", 1)):
            low, high = getattr(self, key)
            if not least <= low <= high < math.inf:
                raise RecipeError(f"{key} is the least and the most, above 0, got {low},{high}")
        if not all(0 <= m <= 1 for m in self.milestones):
            raise RecipeError(f"milestones are shares of the run, from 0 to 1, got {self.milestones}")


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        *others, last = choices
        close = difflib.get_close_matches(str(value), choices, 1)
        meant = f": did you mean {close[0]}?" if close else ""
        raise RecipeError(f"{key} must be {', '.join(c for c in others if c)} or {last}, got {value!r}{meant}")


def _check_size(key: str, size: tuple[int, int]) -> None:
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise RecipeError(f"{key} takes height x width in pixels, got {'x'.join(map(str, size))}")


def nearest(word: str, words: list[str]) -> str:
    """', did you mean X?' or the list of choices."""
    close = difflib.get_close_matches(word, words, 1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(words))}"
