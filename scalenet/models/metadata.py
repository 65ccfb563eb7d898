"""What is known of weights, as one schema.

Weight files, hub configs, model cards and ``scalenet info`` are written from it and read back into it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..archs.arch import MAX_MODULES, Arch, SearchSpace
from ..data.labels import Labels
from .old_metadata import CONVERTED, SUPERNET_STATISTICS, from_origin, upgrade

FORMAT = 2  # of the keys and forms below; files of the first carry no number
MAX_TEXT = 1 << 20  # characters of one value
MAX_METRICS = 10_000
INPUT: Mapping[str, Any] = {  # what an image of values 0..1 goes through
    "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "interpolation": "bilinear", "crop_pct": 1.0,
}  # fmt: skip
UNUSABLE = (
    "BatchNorm statistics are a supernet's and fit no sub-network: recalibrate on training images before use "
    "(python -m training recalibrate FILE --data ROOT)"
)
Metrics = Mapping[str, Mapping[str, Mapping[str, float | None]]]


@dataclass(frozen=True)
class CheckpointMetadata:
    """What is known of weights; empty fields are unknown.

    Args:
        arch: the architecture, its ``input_size`` the (H, W) the network is run at.
        task: "segmentation", "pose", "bottomup", or what else it was trained for ("classification").
        labels: what the outputs mean, heatmaps' pixel convention included.
        preprocessing: ``mean`` and ``std`` per channel of values 0..1, ``interpolation``, ``crop_pct``.
        datasets: training data sets, the latest first.
        terms: what these data sets allow.
        license: identifier of the licence of the weights, as the Hub knows it ("mit", "other").
        metrics: measured with these weights, data set -> split -> metric, fractions 0..1 (None: undefined there).
        protocol: how the metrics were measured.
        command: what prints them.
        recipe: the training recipe, or "convert".
        steps, minutes: how long it was trained.
        searched: how many architectures the search evaluated before it chose this one.
        init: the weights that training or deployment started from, a file or a name.
        parent_sha256: SHA-256 of that file.
        batchnorm: where BatchNorm statistics are from if not from training; ``SUPERNET_STATISTICS`` fit no network.
        network: "name.tag" in the table of weights, whose reported metrics are of these weights.
        space: the search space of a training run.
    """

    arch: Arch | None = None
    task: str = ""
    labels: Labels | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=lambda: dict(INPUT))
    datasets: tuple[str, ...] = ()
    terms: str = ""
    license: str = ""
    metrics: Metrics = field(default_factory=dict)
    protocol: str = ""
    command: str = ""
    recipe: str = ""
    steps: int = 0
    minutes: float = 0.0
    searched: int = 0
    init: str = ""
    parent_sha256: str = ""
    batchnorm: str = ""
    network: str = ""
    space: SearchSpace | None = None

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> CheckpointMetadata:
        """From ``to_dict``'s form, ``header``'s, or those that earlier versions wrote; unknown keys are left out.

        Raises:
            ValueError: in one line, for a value of another type, size or form, or a later version's.
        """
        key = "its metadata"
        try:
            if "format_version" not in said:
                said = upgrade(said)
            elif _count(_parsed(said[key := "format_version"])) > FORMAT:
                raise ValueError("written by a later version of scalenet, which reads it")
            values: dict[str, Any] = {}
            for name in (f.name for f in fields(cls)):
                key = KEYS.get(name, name)
                if key in said:
                    values[name] = _text(said[key]) if name in TEXTS else READERS[name](_parsed(said[key]))
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as e:
            raise ValueError(f"{key}: {' '.join(str(e).split())[:200]}") from None

    @classmethod
    def from_origin(cls, said: Any) -> CheckpointMetadata:
        """From what hub configs said under "origin" before they held metadata.

        Raises:
            ValueError: if metrics are malformed.
        """
        return cls.from_dict({"format_version": FORMAT, **from_origin(said)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of what is known, by the keys of files."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {name: value.to_dict() for name in ("arch", "labels") if (value := values[name])}
        values["space"] = asdict(self.space) if self.space else None
        return {"format_version": FORMAT, **{KEYS.get(k, k): v for k, v in values.items() if v}}

    def header(self) -> dict[str, str]:
        """``to_dict`` as a safetensors file holds it: texts as they are, the rest as JSON."""
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in self.to_dict().items()}

    @property
    def usable(self) -> bool:
        """Whether the BatchNorm statistics fit a network: False for a supernet's, which mix all sub-networks."""
        return self.batchnorm != SUPERNET_STATISTICS

    def measured(self) -> dict[str, Any]:
        """Metrics to print: "camvid val miou" and its value, then how they were measured."""
        return flat_metrics(self.metrics) | {
            k: v for k, v in (("protocol", self.protocol), ("command", self.command)) if v
        }

    def provenance(self) -> dict[str, Any]:
        """How the weights were made, plain JSON values of what is known."""
        names = ("recipe", "steps", "minutes", "searched", "init", "parent_sha256", "batchnorm")
        return {name: value for name in names if (value := getattr(self, name))}

    def made(self) -> str:
        """Recipe and budget in words, "" if they are not known."""
        recipe = self.recipe if self.recipe != CONVERTED else ""
        parts: list[Any] = [recipe and f"recipe {recipe}", self.steps and f"{self.steps:,} steps"]
        parts += [
            self.minutes and f"{self.minutes:g} minutes",
            self.searched and f"{self.searched} architectures searched",
        ]
        return ", ".join(p for p in parts if p)

    def parent(self) -> str:
        """What the weights were initialised from, in words; "" if unknown."""
        return f"{self.init}, SHA-256 {self.parent_sha256}" if self.init and self.parent_sha256 else self.init

    def without_metrics(self) -> CheckpointMetadata:
        """A copy without metrics, for weights that have not been evaluated."""
        return replace(self, metrics={}, protocol="", command="")

    def inherited(self) -> CheckpointMetadata:
        """What carries over to weights derived from these: training data sets and their terms."""
        return CheckpointMetadata(datasets=self.datasets, terms=self.terms, license=self.license)


TEXTS = ("task", "terms", "license", "protocol", "command", "recipe", "init", "parent_sha256", "batchnorm", "network")
KEYS = {"terms": "license", "license": "license_id", "metrics": "figures"}  # in files, where they are others
OF_NETWORK = ("arch", "task", "labels", "preprocessing")  # what a network says itself


def flat_metrics(metrics: Metrics) -> dict[str, float | None]:
    """{"camvid val miou": value} of data set -> split -> metric."""
    return {
        f"{dataset} {split} {name}": value
        for dataset, splits in metrics.items()
        for split, values in splits.items()
        for name, value in values.items()
    }


# -- values as they are read -------------------------------------------------------------------------------------
def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(_text(value))
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError("a text of at most a megabyte is needed")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str):  # in old recipes
        value = value or 0
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("a number is needed")
    return float(value)


def _count(value: Any) -> int:
    number = _number(value)
    if not (0 <= number < 2**53 and number == int(number)):
        raise ValueError("a whole number from 0 is needed")
    return int(number)


def _minutes(value: Any) -> float:
    if not 0 <= (number := _number(value)) < math.inf:
        raise ValueError("a time from 0 is needed")
    return number


def _datasets(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_METRICS:
        raise ValueError("a list of names is needed")
    return tuple(_text(v) for v in value)


def read_preprocessing(value: Any) -> dict[str, Any]:
    """The preprocessing of images, with every key filled in.

    Raises:
        ValueError, TypeError, OverflowError: for values that cannot be so.
    """
    values = {**INPUT, **{k: v for k, v in dict(value).items() if k in INPUT}}
    mean, std = (tuple(_number(v) for v in values[k]) for k in ("mean", "std"))
    crop = _number(values["crop_pct"])
    if len(mean) != len(std) or not all(map(math.isfinite, mean)) or not all(0 < v < math.inf for v in std):
        raise ValueError(f"as many finite means as standard deviations above 0 are needed, not {mean}, {std}")
    if not 0 < crop < math.inf:
        raise ValueError(f"crop_pct must be above 0, got {crop}")
    return {"mean": mean, "std": std, "interpolation": _text(values["interpolation"]), "crop_pct": crop}


def read_metrics(value: Any) -> dict[str, dict[str, dict[str, float | None]]]:
    """Metrics, data set -> split -> metric.

    Raises:
        ValueError, AttributeError: for values of another form.
    """
    found = {d: {s: {m: _metric(v) for m, v in ms.items()} for s, ms in ss.items()} for d, ss in value.items()}
    if len(flat_metrics(found)) > MAX_METRICS:
        raise ValueError(f"more than {MAX_METRICS:,} metrics")
    return found


def _metric(value: Any) -> float | None:
    if isinstance(value, str):
        raise ValueError("a metric is a number")
    return None if value is None or not math.isfinite(number := _number(value)) else number


def _space(value: Any) -> SearchSpace:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    space = SearchSpace(**given)
    if len(space.modules) != 3 or not all(0 < n <= MAX_MODULES for n in space.modules):
        raise ValueError(f"a space has 1 to {MAX_MODULES} modules in each of three stages")
    return space


READERS: Mapping[str, Callable[[Any], Any]] = {
    "arch": Arch.from_dict, "labels": Labels.from_dict, "preprocessing": read_preprocessing, "datasets": _datasets,
    "metrics": read_metrics, "steps": _count, "minutes": _minutes, "searched": _count, "space": _space,
}  # fmt: skip
