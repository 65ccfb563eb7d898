"""The paper's recipes, and those of what it builds on. Where each constant comes from stands beside it.

[P] Cheng et al., "ScaleNAS", PMLR 188, arXiv 2011.14584; [C] its authors' released code; [H] HRNet's released code
(human pose, image classification), which [C] is built on; [HH] HigherHRNet's paper and code. What is not said there is
marked as ours. :data:`AUTHORS` is what ``variant=authors`` sets where the recipes depart from [C].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scalenet.archs.arch import SearchSpace

from .config import Recipe

# [C] trains vectors with weight decay, distils the largest network too, has it last in the cycle, and cuts people in
# half by ``randn() < 0.5``, which keeps the upper half with a probability of 0.69; it trains one sub-network a step
Settings = dict[str, Any]  # of a recipe
AUTHORS: Settings = {
    "decay_vectors": True, "distill_largest": True, "largest_last": True, "upper_half": 0.69,
    "sandwich": 0, "inplace": 0.0,
}  # fmt: skip

CITYSCAPES_IMAGES = 2975  # fine train
COCO_PEOPLE = 149813  # of train2017, with a labelled joint
COCO_IMAGES, CROWDPOSE_IMAGES = 64115, 12000  # of train2017 with people; trainval
IMAGENET_IMAGES = 1281167

CITYSCAPES_WEIGHTS = (  # [C], in the order of the 19 train ids
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116, 0.9037,
    1.0865, 1.0955, 1.0865, 1.1529, 1.0507,
)  # fmt: skip
CITYSCAPES: Settings = {
    "task": "segmentation", "root": "data/cityscapes", "classes": 19, "cache": False, "workers": 8,
    "batch": 24, "size": (512, 1024), "early_size": (512, 1024),  # [P] 8 GPUs x 3 crops
    "steps": 484 * CITYSCAPES_IMAGES // 24,  # [P] 484 epochs
    "optimizer": "sgd", "lr": 1e-3, "momentum": 0.9, "decay": "poly",  # [P] power 0.9
    "weight_decay": 5e-4, "decay_vectors": True, "clip": 0.0, "warmup": 0,  # [P]; [C] decays all parameters
    "bn_momentum": 0.01, "batchnorm": "sync",  # [C]; its 1x1 paths upwards keep 0.1, ours do not
    "ohem": 0.9, "ohem_pixels": 131072,  # [P]; there of a GPU's 3 crops, here of the whole batch
    "class_weights": False, "fixed_weights": CITYSCAPES_WEIGHTS,
    "scale": (0.5, 2.1), "scale_draw": "tenths", "colour": 0.0,  # [C] 0.5 + k/10, k = 0 .. 16
    "distill": 0.5,  # [P] mean squared difference of the logits, in [C] at stride 4
}  # fmt: skip
COCO: Settings = {
    "task": "pose", "root": "data/coco", "classes": 17, "split": "train2017", "val_split": "val2017", "workers": 8,
    "batch": 128,  # [H] 4 GPUs x 32
    "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "clip": 0.0, "warmup": 0,  # [P]; [C] hands Adam no decay
    "decay": "steps", "milestones": (170 / 210, 200 / 210),  # [P] 210 epochs
    "rotation": 45.0, "rescale": 0.35, "half_body": 0.3, "colour": 0.0, "sigma": 0.0,  # [P]; 0 is 2 at 192, 3 at 288
    "bn_momentum": 0.1, "decode": "quarter", "distill": 0.5,  # [C]
}  # fmt: skip
FINETUNE: Settings = {
    "steps": 20 * COCO_PEOPLE // 128,
    "lr": 1e-4,
    "milestones": (15 / 20,),
}  # [P] 20 epochs; the rate is ours
BOTTOM_UP: Settings = {
    "task": "bottomup", "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "clip": 0.0, "warmup": 0,  # [HH]
    "decay": "steps", "milestones": (200 / 300, 260 / 300),  # [HH] 300 epochs
    "rotation": 30.0, "scale": (0.75, 1.5), "colour": 0.0, "tags": 1e-3, "workers": 8,  # [HH]
}  # fmt: skip
IMAGENET: Settings = {  # [H], image classification; the rate is of 256 images there: 0.05 of 128
    "task": "classification", "root": "data/imagenet", "classes": 1000, "batch": 256, "size": (224, 224),
    "early_size": (224, 224), "steps": 100 * IMAGENET_IMAGES // 256, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9,
    "weight_decay": 1e-4, "decay_vectors": True, "decay": "steps", "milestones": (30 / 100, 60 / 100, 90 / 100),
    "clip": 0.0, "warmup": 0, "workers": 16,
}  # fmt: skip


def start_weights(width: int) -> str:
    """Where the authors' ImageNet supernet of a width, or ours of :func:`imagenet`, is looked for."""
    return f"weights/superscalenet_imagenet_w{width}.safetensors"


def taught(teacher: Recipe, name: str) -> tuple[Recipe, Recipe]:
    """A teacher's recipe and that of the supernet which begins with its weights and is distilled from it [P]."""
    file = f"out/training/{teacher.name}/final.safetensors"
    return teacher, teacher.changed(name=name, mode="supernet", init=file, teacher=file)


def imagenet(width: int) -> Recipe:
    """The supernet's start from ImageNet-1k (100 epochs, read as it goes): grouped sampling is [P], the rest [H]."""
    space = SearchSpace("pose", width, (224, 224))
    return Recipe.of(name=f"imagenet_w{width}", mode="supernet", space=space, **IMAGENET)


def cityscapes(width: int) -> tuple[Recipe, Recipe]:
    """The segmentation supernet and its teacher."""
    name, space = f"cityscapes_w{width}", SearchSpace("segmentation", width, (1024, 2048))
    return taught(
        Recipe.of(name=f"{name}_teacher", mode="standalone", space=space, init=start_weights(width), **CITYSCAPES), name
    )


def coco(width: int, size: tuple[int, int]) -> tuple[Recipe, Recipe]:
    """The pose supernet (210 epochs) and its teacher."""
    name, steps = f"coco_w{width}_{size[0]}x{size[1]}", 210 * COCO_PEOPLE // COCO["batch"]
    space = SearchSpace("pose", width, size)
    common: Settings = {"space": space, "size": size, "early_size": size, "steps": steps, "init": start_weights(width)}
    return taught(Recipe.of(name=f"{name}_teacher", mode="standalone", **common, **COCO), name)


def finetuned(network: str, width: int, size: tuple[int, int]) -> Recipe:
    """ScaleNet-P2, P3 or P4: 20 epochs from the supernet's weights."""
    return Recipe.of(
        name=f"coco_finetune_{network}", mode="standalone", space=SearchSpace("pose", width, size), size=size,
        early_size=size, arch=f"scalenet/archs/scalenet_{network}.json",
        init=f"weights/scalenet_{network}.safetensors", **{**COCO, **FINETUNE},
    )  # fmt: skip


COCO_DATA: Settings = {"root": "data/coco", "classes": 17, "split": "train2017", "val_split": "val2017"}
CROWDPOSE_DATA: Settings = {"root": "data/crowdpose", "classes": 14, "split": "trainval", "val_split": "test"}


def bottom_up(arch: str, label: str, width: int, side: int, batch: int) -> Iterator[Recipe]:
    """An architecture under HigherHRNet's head on COCO and on CrowdPose; ``batch`` is [HH]'s of 4 GPUs."""
    for name, data, images in (("coco", COCO_DATA, COCO_IMAGES), ("crowdpose", CROWDPOSE_DATA, CROWDPOSE_IMAGES)):
        yield Recipe.of(
            name=f"{name}_bottomup_{label}", mode="standalone", arch=arch,
            space=SearchSpace("pose", width, (side, side)), batch=batch, size=(side, side),
            early_size=(side, side), init=start_weights(width), steps=300 * images // batch, **data, **BOTTOM_UP,
        )  # fmt: skip


def bottom_up_supernet(width: int, side: int, batch: int) -> tuple[Recipe, Recipe]:
    """A bottom-up supernet on COCO and its teacher: [P]'s sampling and distillation with [HH]'s settings. Ours."""
    largest = next(bottom_up("largest", f"supernet_w{width}_teacher", width, side, batch))
    return taught(largest, f"coco_bottomup_supernet_w{width}")


PUBLISHED = (
    imagenet(32), imagenet(48),
    *cityscapes(32), *cityscapes(48),
    *coco(32, (256, 192)), *coco(32, (384, 288)), *coco(48, (384, 288)),
    finetuned("p2", 32, (256, 192)), finetuned("p3", 32, (384, 288)), finetuned("p4", 48, (384, 288)),
    *bottom_up("hrnet", "w32_512", 32, 512, 48), *bottom_up("hrnet", "w32_640", 32, 640, 40),
    *bottom_up("hrnet", "w48_640", 48, 640, 40),
    *bottom_up("scalenet/archs/scalenet_p2.json", "p2", 32, 512, 48),
    *bottom_up("scalenet/archs/scalenet_p4.json", "p4", 48, 640, 40),
    *bottom_up_supernet(32, 512, 48), *bottom_up_supernet(48, 640, 40),
)  # fmt: skip
