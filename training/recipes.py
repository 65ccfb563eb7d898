"""Recipes: a table of frozen values. ``key=value`` on the command line replaces a field, name and type checked."""

from __future__ import annotations

from collections.abc import Sequence

from scalenet.archs.arch import SearchSpace

from .config import Recipe
from .overrides import override, pick
from .published import AUTHORS, PUBLISHED, Settings

VARIANTS: dict[str, Settings] = {"ours": {}, "authors": AUTHORS}
PRETRAINED = "training/checkpoints/pretrain.safetensors"
SMALL: Settings = {"stem_width": 32, "stage1_width": 16, "modules": (1, 2, 1), "depths": (1, 3)}
S0_SPACE = SearchSpace("segmentation", 16, (360, 480), **SMALL)
P0_SPACE = SearchSpace("pose", 16, (256, 192), **SMALL)

# class weights of 9 to 1 make rare classes spread: 1.9 mIoU less
CAMVID: Settings = {
    "task": "segmentation", "root": "../shared/data/camvid", "space": S0_SPACE, "classes": 11,
    "early_size": (192, 256), "scale": (0.7, 2.1), "class_weights": False,
}  # fmt: skip
EVERYDAY: Settings = {
    "task": "pose", "root": "../shared/data/stanford40", "more_roots": ("../shared/data/lsp",), "space": P0_SPACE,
    "classes": 17, "convention": "aligned", "batch": 32, "size": (256, 192), "sizes": ((192, 144),),
    "early_size": (192, 144), "rotation": 25.0, "rescale": 0.25, "half_body": 0.15, "colour": 0.2, "flip_pairs": 3.0,
    "peaks": 0.01, "absent": 0.5, "eps": 1e-12, "decay": "cosine", "ema": 0.999,
}  # fmt: skip
PEOPLE_MASKS: Settings = {
    "task": "segmentation", "root": "../shared/data/people_masks", "space": S0_SPACE, "classes": 2,
    "size": (288, 288), "early_size": (192, 192), "scale": (0.5, 1.6), "class_weights": False, "mix": 0.5,
    "dusk": 0.5, "lovasz": 0.5, "decay": "cosine", "ema": 0.999,
}  # fmt: skip
EVERYDAY_PEOPLE = 8007 + 7993

RECIPES = {
    r.name: r
    for r in (
        Recipe.of(  # photographs without labels, ImageNet's classes and features from a teacher
            name="pretrain", task="distillation", mode="supernet", root="../shared/data/stanford40", space=P0_SPACE,
            minutes=30, batch=64,
            more_roots=("../shared/data/lsp", "../shared/data/tiny_imagenet", "../shared/data/camvid"),
            teacher="efficientnet-lite0", distill=1.0, sandwich=1, size=(128, 128), lr=3e-3, decay="cosine", ema=0.998,
        ),
        Recipe.of(  # labels alone
            name="pretrain_labels", task="classification", mode="standalone", root="../shared/data/tiny_imagenet",
            space=S0_SPACE, classes=200, minutes=45, batch=128, size=(64, 64), early_size=(48, 48), early=0.6,
            decay="cosine", weight_decay=0.05,
        ),
        Recipe.of(
            name="s0_teacher", mode="standalone", minutes=70, lr=3e-3, early=0.4, init=PRETRAINED,
            **CAMVID,
        ),
        Recipe.of(
            name="s0_supernet", mode="supernet", minutes=140, lr=2e-3, early=0.3,
            init="out/training/s0_teacher/final.safetensors", teacher="out/training/s0_teacher/final.safetensors",
            **CAMVID,
        ),
        Recipe.of(
            name="s0_standalone", mode="standalone", minutes=40, lr=3e-3, early=0.4, init=PRETRAINED,
            arch="scalenet/archs/scalenet_s0.json", **CAMVID,
        ),
        Recipe.of(name="s0_person", mode="supernet", minutes=60, lr=2e-3, early=0.3, init=PRETRAINED, **PEOPLE_MASKS),
        Recipe.of(name="p0_teacher", mode="standalone", minutes=90, early=0.5, init=PRETRAINED, **EVERYDAY),
        Recipe.of(name="p0_supernet", mode="supernet", minutes=150, lr=2e-3, early=0.3, init=PRETRAINED, **EVERYDAY),
        Recipe.of(
            name="p0_standalone", mode="standalone", minutes=40, early=0.5, init=PRETRAINED,
            arch="scalenet/archs/scalenet_p0.json", **EVERYDAY,
        ),
        Recipe.of(
            name="p0_finetune", mode="standalone", steps=20 * EVERYDAY_PEOPLE // 32, lr=1e-3,
            arch="scalenet/archs/scalenet_p0.json", init="scalenet/weights/scalenet_p0.safetensors", **EVERYDAY,
        ),
        Recipe.of(
            name="p0_bottomup", task="bottomup", mode="supernet", root="../shared/data/stanford40", space=P0_SPACE,
            classes=17, minutes=90,
            more_roots=("../shared/data/lsp",), backgrounds=("../shared/data/tiny_imagenet", "../shared/data/camvid"),
            people=(1, 8), silence=0.12, scenes=0.45, init="training/checkpoints/p0_supernet.safetensors", batch=8,
            lr=2e-3, size=(512, 512), early_size=(320, 320), early=0.5, weight_decay=0.01, tags=0.1, peaks=0.01,
            colour=0.3, decay="cosine", ema=0.999, eps=1e-12,
        ),
        *PUBLISHED,
    )
}  # fmt: skip


def get_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The named recipe with ``key=value`` texts applied.

    ``variant=authors`` among them, before all others, sets what the authors' code does otherwise.

    Raises:
        RecipeError: for an unknown name or key (naming the nearest), or a value that does not parse or cannot be.
    """
    recipe = pick("recipe", name, RECIPES)
    variants = [text for text in overrides if text.startswith("variant=")]
    for text in variants:
        recipe = recipe.changed(**pick("variant", text.partition("=")[2], VARIANTS))
    return override(recipe, [text for text in overrides if text not in variants])
