"""Command line of the training package."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from scalenet.runtime.command_line import positive

from .checks import RecipeError
from .cli import recipe_parser, run_command
from .recipes import RECIPES, get_recipe
from .signals import Interrupt

LONG_SIDE = 512  # pixels of what prepare writes
FIELDS = "fields of the recipe to change: minutes=10 lr=2e-3 batch=16 … (docs: training.settings)"


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``python -m training``."""
    about = "train a recipe; resumes an interrupted run"
    parser, commands = recipe_parser("python -m training", __doc__, about, RECIPES, FIELDS)
    stats = commands.add_parser(
        "recalibrate", help="recalibrate the BatchNorm statistics of a weights file on training images"
    )
    stats.add_argument("file", help="a .safetensors file of this project")
    stats.add_argument("--data", required=True, metavar="ROOT", help="data set folder")
    stats.add_argument("--split", default="train", help="folder or annotation name of the training images")
    stats.add_argument("--batches", type=positive, default=8)
    stats.add_argument("--batch-size", type=positive, default=3)
    stats.add_argument("-o", "--output", help="file to write; default the file itself")
    tune = commands.add_parser("finetune", help="fine-tune a network on a folder of yours")
    tune.add_argument("--model", required=True, help="registered name, hf-hub:, local-dir: or .safetensors file")
    tune.add_argument("--data", required=True, help="folder with images/, labels/ and classes.txt, or COCO keypoints")
    tune.add_argument("-o", "--output", default="out/finetune", help="folder to write into")
    tune.add_argument("--scratch", action="store_true", help="start from random weights, for comparison")
    tune.add_argument("overrides", nargs="*", metavar="key=value", help=FIELDS)
    pack = commands.add_parser("pack", help="write a run's weights for distribution, with kernels in fp16")
    pack.add_argument("file", help="a final.safetensors of a training run")
    pack.add_argument("-o", "--output", required=True, help="file to write")
    pack.add_argument("--terms", default="", help="licence and data note for the file (default: the run's)")
    pack.add_argument("--dataset", default="", help="training data set (default: that of its labels)")
    _add_data_commands(commands)
    return parser


def _add_data_commands(commands: Any) -> None:
    """The commands that write data sets or what is known of them."""
    crowds = commands.add_parser(
        "crowds", help="compose crowds of 1-8 people from images of single people, for evaluation"
    )
    crowds.add_argument("root", help="data set folder of single people, with COCO's body joints")
    crowds.add_argument("--more", nargs="+", default=(), metavar="ROOT", help="further data set folders")
    crowds.add_argument("--backgrounds", nargs="+", required=True, metavar="FOLDER", help="images without people")
    crowds.add_argument("-o", "--output", required=True, help="new folder to write, in COCO's layout")
    crowds.add_argument("--split", default="val")
    crowds.add_argument("--count", type=positive, default=300, help="images")
    others = commands.add_parser("neighbours", help="find the unlabelled people in a data set of single people")
    others.add_argument("root", help="data set folder of whole photographs")
    who = "bottom-up or person segmentation networks, or YOLOX .onnx detectors"
    others.add_argument("--model", nargs="+", required=True, metavar="NAME", help=who)
    what = "count people whom later networks find only if the first network found someone there too"
    others.add_argument("--confirm", action="store_true", help=what)
    others.add_argument("-o", "--output", required=True, help="JSON file to write, for a recipe's field neighbours")
    others.add_argument("--split", default="train")
    others.add_argument("--device", default=None, help="cuda, mps or cpu (default: the first that is available)")
    prepare = commands.add_parser(
        "prepare", help="unpack a data set's official archives, or re-encode one at a smaller size"
    )
    names = "camvid, lsp, cityscapes, coco, crowdpose, stanford40 or imagenet with --source; else"
    prepare.add_argument("root", help=f"{names} a data set folder: images/ + labels/, an ImageFolder, or its tar files")
    prepare.add_argument("-o", "--output", required=True, help="new folder to write")
    prepare.add_argument("--source", nargs="+", default=(), help="the official archives, or a folder of them")
    prepare.add_argument("--partial", action="store_true", help="accept incomplete archives")
    prepare.add_argument(
        "--long-side", type=positive, help="of a folder: maximum height and width in pixels (default: 512)"
    )
    larger = commands.add_parser(
        "rescale", help="transfer annotations of reduced images to the same images at full size"
    )
    larger.add_argument("root", help="data set folder in COCO's keypoint format")
    larger.add_argument("--images", required=True, metavar="FOLDER", help="the full-size images, matched by stem")
    larger.add_argument("-o", "--output", required=True, help="new folder to write")


def recalibrate(args: argparse.Namespace) -> None:
    """``recalibrate FILE --data ROOT``."""
    from .recalibrate import recalibrate_file

    print(recalibrate_file(args.file, args.data, args.output, args.split, args.batches, args.batch_size))


def finetune(args: argparse.Namespace) -> None:
    """``finetune --model NAME --data FOLDER [key=value ...]``."""
    from .finetune import finetune as tune

    with Interrupt(deferred=False):
        metrics = tune(args.model, args.data, args.output, args.overrides, args.scratch)
    if metrics:
        print(json.dumps(metrics))


def pack(args: argparse.Namespace) -> None:
    """``pack FILE -o OUT``."""
    from .pack import pack as write

    print(write(args.file, args.output, args.terms, args.dataset))


def crowds(args: argparse.Namespace) -> None:
    """``crowds ROOT --backgrounds FOLDER ... -o OUT``."""
    from .data.crowds import write_crowds

    roots = (args.root, *args.more)
    data = write_crowds(roots, args.split, tuple(args.backgrounds), args.output, args.count)
    print(f"{len(data.images)} images of {len(data.annotations)} people in {args.output}")


def neighbours(args: argparse.Namespace) -> None:
    """``neighbours ROOT --model NAME ... -o FILE``."""
    from .data.neighbours import finder, write_neighbours

    finders = [finder(name, args.device) for name in args.model]
    found = write_neighbours(finders, args.root, args.split, args.output, confirm=args.confirm)
    print(f"{sum(map(bool, found.values()))} of {len(found)} images show others; written to {args.output}")


def prepare(args: argparse.Namespace) -> None:
    """``prepare ROOT -o OUT``, ``prepare NAME --source ARCHIVE ... -o OUT``."""
    from .datasets import prepare_published
    from .prepare import prepare as write

    if args.source:
        if args.long_side:
            raise RecipeError("--long-side is of a folder: prepare the archives, then the folder that comes of it")
        for pattern, count in prepare_published(args.root, args.source, args.output, args.partial).items():
            print(f"{count:>9,}  {args.output}/{pattern}")
        return
    if args.partial:
        raise RecipeError("--partial is of --source")
    print(f"{write(args.root, args.output, args.long_side or LONG_SIDE)} images in {args.output}")


def rescale(args: argparse.Namespace) -> None:
    """``rescale ROOT --images FOLDER -o OUT``."""
    from .rescale import rescale as write

    print(f"{write(args.root, args.images, args.output)} images in {args.output}")


def run(args: argparse.Namespace) -> None:
    """``run RECIPE [key=value ...]``."""
    recipe = get_recipe(args.recipe, args.overrides)
    from .engine import Run

    with Interrupt(deferred=False):
        print(Run(recipe).run())


COMMANDS = {
    "run": run, "recalibrate": recalibrate, "finetune": finetune, "pack": pack, "crowds": crowds,
    "neighbours": neighbours, "prepare": prepare, "rescale": rescale,
}  # fmt: skip
SHARED = ("run", "finetune")  # by all processes under torchrun


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 2 for anything the user can fix."""
    stopped = "stopped; a run resumes from its checkpoint with the same command"
    return run_command(build_parser(), COMMANDS, SHARED, stopped, argv)


if __name__ == "__main__":
    sys.exit(main())
