"""Recipes: a table of frozen values. ``key=value`` on the command line replaces a field, name and type checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from scalenet.arch import SearchSpace

from .config import Recipe, override, pick

Settings = dict[str, Any]  # of a recipe

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
COCO_PEOPLE = 149813  # of train2017, with a labelled joint
CITYSCAPES_IMAGES = 2975
CITYSCAPES: Settings = {
    "task": "segmentation", "root": "data/cityscapes", "classes": 19, "batch": 24, "size": (512, 1024),
    "early_size": (512, 1024), "steps": 484 * CITYSCAPES_IMAGES // 24, "optimizer": "sgd", "lr": 1e-3,
    "weight_decay": 5e-4, "bn_momentum": 0.01, "clip": 0.0, "warmup": 0, "ohem": 0.9, "class_weights": False,
    "cache": False, "workers": 8,
}  # fmt: skip
COCO: Settings = {
    "task": "pose", "root": "data/coco", "classes": 17, "split": "train2017", "val_split": "val2017", "batch": 128,
    "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "clip": 0.0, "warmup": 0, "decay": "steps",
    "milestones": (170 / 210, 200 / 210), "colour": 0.0, "workers": 8,
}  # fmt: skip


def cityscapes_recipes(width: int) -> tuple[Recipe, Recipe]:
    """The paper's segmentation supernet (484 epochs, 8 GPUs x 3 crops) and the teacher it starts from."""
    name, space = f"cityscapes_w{width}", SearchSpace("segmentation", width, (1024, 2048))
    start = f"weights/superscalenet_imagenet_w{width}.safetensors"
    teacher = Recipe(f"{name}_teacher", mode="standalone", space=space, init=start, **CITYSCAPES)
    file = f"out/training/{name}_teacher/final.safetensors"
    return teacher, dataclasses.replace(teacher, name=name, mode="supernet", init=file, teacher=file)


def coco_recipes(width: int, size: tuple[int, int]) -> tuple[Recipe, Recipe]:
    """The paper's pose supernet (210 epochs) and the teacher it starts from and is distilled from."""
    name = f"coco_w{width}_{size[0]}x{size[1]}"
    space, steps = SearchSpace("pose", width, size), 210 * COCO_PEOPLE // COCO["batch"]
    start = f"weights/superscalenet_imagenet_w{width}.safetensors"
    teacher = Recipe(f"{name}_teacher", mode="standalone", space=space, size=size, steps=steps, init=start, **COCO)
    file = f"out/training/{name}_teacher/final.safetensors"
    return teacher, dataclasses.replace(teacher, name=name, mode="supernet", init=file, teacher=file)


BOTTOM_UP: Settings = {
    "task": "bottomup", "mode": "standalone", "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "clip": 0.0,
    "warmup": 0, "decay": "steps", "milestones": (200 / 300, 260 / 300), "rotation": 30.0, "scale": (0.75, 1.5),
    "colour": 0.0, "workers": 8,
}  # fmt: skip
COCO_IMAGES, CROWDPOSE_IMAGES = 64115, 12000  # of train2017 with people; trainval


def bottom_up_recipes(width: int, side: int, batch: int) -> tuple[Recipe, Recipe]:
    """HRNet under a bottom-up head on COCO and on CrowdPose, 300 epochs; ``batch`` is 12 images a GPU at 512."""
    shared: Settings = {
        **BOTTOM_UP, "space": SearchSpace("pose", width, (side, side)), "arch": "hrnet", "batch": batch,
        "size": (side, side), "early_size": (side, side),
    }  # fmt: skip
    start = f"weights/superscalenet_imagenet_w{width}.safetensors"
    coco = Recipe(
        f"coco_bottomup_w{width}_{side}", root="data/coco", classes=17, split="train2017", val_split="val2017",
        init=start, steps=300 * COCO_IMAGES // batch, **shared,
    )  # fmt: skip
    crowd = Recipe(
        f"crowdpose_bottomup_w{width}_{side}", root="data/crowdpose", classes=14, split="trainval", val_split="test",
        init=start, steps=300 * CROWDPOSE_IMAGES // batch, **shared,
    )  # fmt: skip
    return coco, crowd


RECIPES = {
    r.name: r
    for r in (
        Recipe(  # photographs without labels, ImageNet's classes and features from a teacher
            "pretrain", "distillation", "supernet", "../shared/data/stanford40", P0_SPACE, minutes=30, batch=64,
            more_roots=("../shared/data/lsp", "../shared/data/tiny_imagenet", "../shared/data/camvid"),
            teacher="efficientnet-lite0", distill=1.0, sandwich=1, size=(128, 128), lr=3e-3, decay="cosine", ema=0.998,
        ),
        Recipe(  # labels alone
            "pretrain_labels", "classification", "standalone", "../shared/data/tiny_imagenet", S0_SPACE, classes=200,
            minutes=45, batch=128, size=(64, 64), early_size=(48, 48), early=0.6, decay="cosine", weight_decay=0.05,
        ),
        Recipe(
            "s0_teacher", mode="standalone", minutes=70, lr=3e-3, early=0.4, init=PRETRAINED,
            **CAMVID,
        ),
        Recipe(
            "s0_supernet", mode="supernet", minutes=140, lr=2e-3, early=0.3,
            init="out/training/s0_teacher/final.safetensors", teacher="out/training/s0_teacher/final.safetensors",
            **CAMVID,
        ),
        Recipe(
            "s0_standalone", mode="standalone", minutes=40, lr=3e-3, early=0.4, init=PRETRAINED,
            arch="scalenet/archs/scalenet_s0.json", **CAMVID,
        ),
        Recipe("s0_person", mode="supernet", minutes=60, lr=2e-3, early=0.3, init=PRETRAINED, **PEOPLE_MASKS),
        Recipe("p0_teacher", mode="standalone", minutes=90, early=0.5, init=PRETRAINED, **EVERYDAY),
        Recipe("p0_supernet", mode="supernet", minutes=150, lr=2e-3, early=0.3, init=PRETRAINED, **EVERYDAY),
        Recipe(
            "p0_standalone", mode="standalone", minutes=40, early=0.5, init=PRETRAINED,
            arch="scalenet/archs/scalenet_p0.json", **EVERYDAY,
        ),
        Recipe(
            "p0_finetune", mode="standalone", steps=20 * EVERYDAY_PEOPLE // 32, lr=1e-3,
            arch="scalenet/archs/scalenet_p0.json", init="scalenet/weights/scalenet_p0.safetensors", **EVERYDAY,
        ),
        Recipe(
            "p0_bottomup", "bottomup", "supernet", "../shared/data/stanford40", P0_SPACE, classes=17, minutes=90,
            more_roots=("../shared/data/lsp",), backgrounds=("../shared/data/tiny_imagenet", "../shared/data/camvid"),
            people=(1, 8), silence=0.12, scenes=0.45, init="training/checkpoints/p0_supernet.safetensors", batch=8,
            lr=2e-3, size=(512, 512), early_size=(320, 320), early=0.5, weight_decay=0.01, tags=0.1, peaks=0.01,
            colour=0.3, decay="cosine", ema=0.999, eps=1e-12,
        ),
        *cityscapes_recipes(32),
        *cityscapes_recipes(48),
        *bottom_up_recipes(32, 512, 48),
        *bottom_up_recipes(32, 640, 40),
        *bottom_up_recipes(48, 640, 40),
        *coco_recipes(32, (256, 192)),
        *coco_recipes(32, (384, 288)),
        *coco_recipes(48, (384, 288)),
        dataclasses.replace(
            coco_recipes(32, (256, 192))[0], name="coco_finetune", steps=20 * COCO_PEOPLE // COCO["batch"], lr=1e-4,
            milestones=(15 / 20,), arch="scalenet/archs/scalenet_p2.json", init="weights/scalenet_p2.safetensors",
        ),
    )
}  # fmt: skip


def get_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The named recipe with ``key=value`` texts applied.

    Raises:
        RecipeError: for an unknown name or key (naming the nearest), or a value that does not parse or cannot be.
    """
    return override(pick("recipe", name, RECIPES), overrides)
