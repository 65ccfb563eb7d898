"""Recipes: frozen values in plain Python. ``key=value`` on the command line replaces a field, name and type checked."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass

from scalenet.arch import SearchSpace


class RecipeError(ValueError):
    """An unknown recipe or key, or a value of the wrong kind."""


@dataclass(frozen=True)
class Recipe:
    """One training run. Sizes are (H, W); ``batch`` is over all processes together.

    ``stage``: "alone" trains one encoding (``arch``: largest, smallest, hrnet or a JSON file), "supernet" one
    sub-network of ``space`` a step. ``init`` and ``teacher`` are weight files; what ``init`` lacks stays random.
    The run ends after ``steps`` steps or ``minutes`` minutes, whichever is set and comes first. The first ``early``
    share of the run uses ``early_size`` pictures.
    """

    name: str
    task: str
    stage: str
    root: str
    space: SearchSpace
    arch: str = "largest"
    init: str = ""
    teacher: str = ""
    distill: float = 0.5
    classes: int = 0
    split: str = "train"
    val_split: str = "val"
    steps: int = 0
    minutes: float = 0.0
    batch: int = 8
    size: tuple[int, int] = (256, 320)
    early_size: tuple[int, int] = (256, 320)
    early: float = 0.0
    optimizer: str = "adamw"
    lr: float = 4e-3
    decay: str = "poly"
    milestones: tuple[float, ...] = ()
    warmup: int = 50
    weight_decay: float = 0.05
    momentum: float = 0.9
    clip: float = 5.0
    bn_momentum: float = 0.1
    scale: tuple[float, float] = (0.5, 2.1)
    ohem: float = 0.0
    ohem_pixels: int = 131072
    class_weights: bool = True
    workers: int = 0
    seed: int = 0
    device: str = "auto"
    autocast: str = "off"
    save_minutes: float = 5.0
    out: str = ""


SMALL = {"stem_width": 32, "stage1_width": 16, "modules": (1, 2, 1), "depths": (1, 3)}
S0_SPACE = SearchSpace("segmentation", 16, (360, 480), **SMALL)
P0_SPACE = SearchSpace("pose", 16, (256, 192), **SMALL)
CITYSCAPES = {"task": "segmentation", "root": "data/cityscapes", "classes": 19, "batch": 24, "size": (512, 1024)}
SGD = {"optimizer": "sgd", "lr": 1e-3, "weight_decay": 5e-4, "clip": 0.0, "bn_momentum": 0.01, "warmup": 0}

RECIPES = {
    r.name: r
    for r in (
        Recipe(
            "pretrain", "classification", "alone", "../shared/data/tiny_imagenet", S0_SPACE, classes=200, minutes=45,
            batch=128, size=(64, 64), early_size=(48, 48), early=0.6, decay="cosine", weight_decay=0.05,
        ),
        Recipe(
            "s0_teacher", "segmentation", "alone", "../shared/data/camvid", S0_SPACE, classes=11, minutes=70,
            init="out/training/pretrain/final.safetensors", lr=3e-3, early_size=(192, 240), early=0.4,
        ),
        Recipe(
            "s0_supernet", "segmentation", "supernet", "../shared/data/camvid", S0_SPACE, classes=11, minutes=140,
            init="out/training/s0_teacher/final.safetensors", teacher="out/training/s0_teacher/final.safetensors",
            lr=2e-3, early_size=(192, 240), early=0.3,
        ),
        Recipe(
            "s0_alone", "segmentation", "alone", "../shared/data/camvid", S0_SPACE, classes=11, minutes=40,
            init="out/training/pretrain/final.safetensors", lr=3e-3, arch="scalenet/archs/scalenet_s0.json",
            early_size=(192, 240), early=0.4,
        ),
    )
}  # fmt: skip


def nearest(word: str, words: list[str]) -> str:
    """', did you mean X?' or the list of choices."""
    close = difflib.get_close_matches(word, words, 1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(words))}"


def get_recipe(name: str, overrides: list[str] = ()) -> Recipe:
    """The named recipe with ``key=value`` texts applied.

    Raises:
        RecipeError: for an unknown name or key (naming the nearest), or a value that does not parse.
    """
    if name not in RECIPES:
        raise RecipeError(f"unknown recipe {name!r}: {nearest(name, list(RECIPES))}")
    return override(RECIPES[name], overrides)


def override(recipe: Recipe, texts: list[str]) -> Recipe:
    """A recipe with ``key=value`` texts applied; see :func:`get_recipe`."""
    fields = {f.name: f for f in dataclasses.fields(recipe) if f.name not in ("name", "space")}
    changes = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise RecipeError(f"expected key=value, got {text!r}")
        if key not in fields:
            raise RecipeError(f"unknown key {key!r} in recipe {recipe.name}: {nearest(key, list(fields))}")
        changes[key] = _parse(key, value, str(fields[key].type))
    return dataclasses.replace(recipe, **changes)


def _parse(key: str, text: str, kind: str) -> object:
    readers = {"int": int, "float": float, "str": str}
    try:
        if kind == "bool":
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind.startswith("tuple"):
            item = float if "float" in kind else int
            values = tuple(item(part) for part in text.replace("x", ",").split(",") if part)
            if "..." not in kind and len(values) != kind.count(",") + 1:
                raise ValueError
            return values
        return readers[kind](text)
    except (ValueError, KeyError):
        raise RecipeError(f"{key} takes {kind}, got {text!r}") from None
