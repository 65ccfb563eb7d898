"""GPU hours of the published recipes, estimated: ``python -m search.gpu_hours [--peak TFLOPS] [--utilisation SHARE]``.

A multiply-add is two operations. A step costs three times the forward pass of its sub-network (of a supernet's the
mean of a whole cycle), and once the teacher's. A candidate of a search costs the forward passes of its calibration and
validation images; flip tests double the latter. Nothing here is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from scalenet.archs.arch import Arch
from scalenet.archs.cost import count
from training.config import Recipe
from training.recipes import get_recipe as get_training_recipe
from training.sampling import cycle_length, step_archs
from training.start import arch_of_space

from .recipes import get_recipe

BACKWARD = 3  # forward and backward passes, in forward passes
VALIDATED = {"coco": 500, "cityscapes": 100}  # ``limit`` of the scripts
PEAK, UTILISATION = 312.0, 0.25  # dense bf16 TFLOPS of an A100; the share is an assumption
SCRIPTS = {  # its stages: training recipes, and the search if there is one
    "reproduce_cityscapes.sh": (("imagenet_w32", "cityscapes_w32_teacher", "cityscapes_w32"), "cityscapes_w32"),
    "reproduce_coco.sh": (
        ("imagenet_w32", "coco_w32_256x192_teacher", "coco_w32_256x192", "coco_finetune_p2"), "coco_w32_256x192",
    ),
    "NET=p4 reproduce_coco.sh": (
        ("imagenet_w48", "coco_w48_384x288_teacher", "coco_w48_384x288", "coco_finetune_p4"), "coco_w48_384x288",
    ),
    "reproduce_coco_bottomup.sh": (
        ("imagenet_w32", "coco_bottomup_supernet_w32_teacher", "coco_bottomup_supernet_w32"),
        "coco_bottomup_supernet_w32",
    ),
    "reproduce_crowdpose.sh": (("imagenet_w48", "crowdpose_bottomup_p4"), ""),
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One training or search, and its operations."""

    name: str
    operations: float

    def hours(self, peak: float, utilisation: float) -> float:
        """GPU hours at so many TFLOPS."""
        return self.operations / (peak * 1e12 * utilisation) / 3600


def training_stage(recipe: Recipe) -> Stage:
    """A run to its end, with its teacher's outputs."""
    largest = _macs(recipe, recipe.space.largest())
    if recipe.mode == "supernet":
        cycle = [arch for step in range(cycle_length(recipe.space)) for arch in step_archs(recipe, step)]
        macs = sum(_macs(recipe, arch) for arch in cycle) / cycle_length(recipe.space)
    else:
        macs = _macs(recipe, arch_of_space(recipe.space, recipe.arch))
    taught = largest if recipe.distillation.teacher and recipe.mode == "supernet" else 0
    return Stage(recipe.name, 2.0 * recipe.schedule.steps * recipe.schedule.batch * (BACKWARD * macs + taught))


def search_stage(name: str) -> Stage:
    """A search with the ``limit`` of the scripts; a validation image of Cityscapes is a whole one."""
    recipe, training = get_recipe(name), get_training_recipe(name)
    space, size = training.space, training.space.input_size
    archs = [arch for step in range(cycle_length(space)) for arch in step_archs(training, step)]
    macs = sum(count(arch, size, task=_task(training), outputs=training.classes).macs for arch in archs) / len(archs)
    flips = 1 if training.task == "segmentation" else 2
    images = recipe.calibration + flips * VALIDATED[name.partition("_")[0]]
    return Stage(f"search {name}", 2.0 * recipe.evaluations * images * macs)


def _task(recipe: Recipe) -> str:
    return recipe.task if recipe.task == "bottomup" else recipe.space.task


def _macs(recipe: Recipe, arch: Arch) -> int:
    return count(arch, recipe.schedule.size, task=_task(recipe), outputs=recipe.classes).macs


def stages(script: str) -> Iterator[Stage]:
    """The stages of a script."""
    trained, searched = SCRIPTS[script]
    yield from (training_stage(get_training_recipe(name)) for name in trained)
    if searched:
        yield search_stage(searched)


def hours_table(peak: float, utilisation: float) -> str:
    """Rows of Markdown."""
    lines = ["| script | stage | GPU hours (estimate) |", "|---|---|---|"]
    for script in SCRIPTS:
        found = list(stages(script))
        rows = [(stage.name, stage.hours(peak, utilisation)) for stage in found]
        lines += [f"| `{script}` | {name} | {hours:,.1f} |" for name, hours in rows]
        lines.append(f"| `{script}` | **together** | **{sum(hours for _, hours in rows):,.1f}** |")
    return "\n".join(lines)


def _main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m search.gpu_hours", description=__doc__)
    parser.add_argument("--peak", type=float, default=PEAK, help="TFLOPS of the GPU (default: %(default)s, an A100)")
    parser.add_argument(
        "--utilisation", type=float, default=UTILISATION, help="share of it that is reached (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    print(hours_table(args.peak, args.utilisation))


if __name__ == "__main__":
    _main()
