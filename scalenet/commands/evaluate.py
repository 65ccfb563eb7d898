"""``scalenet evaluate NAME``: the usual metrics over a data set."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from ..data.labels import DECODERS, UPSAMPLED
from ..runtime.command_line import positive
from .options import add_engine, height_width, numbers

EVALUATORS = {  # data set: module of scalenet.evaluate with evaluate(name, dataset, root, split, ...) -> dict
    "camvid": "segmentation",
    "cityscapes": "segmentation",
    "coco": "pose",
    "lsp": "pose",
    "crowdpose": "pose",
    "stanford40": "pose",
    "folder": "segmentation",
}
OPTIONS = {  # of these data sets alone
    "boxes": "pose", "detector": "pose", "input_size": "pose", "decode": "pose", "results": "pose",
    "prefix": "segmentation", "upsample": "segmentation",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("name", metavar="NAME", help="a registered name, hf-hub:…, local-dir:… or a .safetensors file")
    parser.add_argument(
        "--dataset", required=True, choices=EVALUATORS, help="folder: images and masks with the network's own classes"
    )
    parser.add_argument("--root", required=True, help="folder of the data set")
    parser.add_argument("--split", default="val", help="folder or annotation name (default: %(default)s)")
    parser.add_argument("--checkpoint", help="a .safetensors file to load instead of the published weights")
    parser.add_argument("--limit", type=positive, help="use only the first images")
    parser.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, help="flip test (default: on for pose, off for segmentation)"
    )
    parser.add_argument(
        "--scales", type=numbers, help="multi-scale test, for example 0.5,1,2 (segmentation and bottom-up)"
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first that is available)")
    add_engine(parser)
    parser.add_argument("--batch-size", type=positive, help="images, or people, per forward pass")
    segmentation = parser.add_argument_group("segmentation")
    segmentation.add_argument("--prefix", metavar="P", help="segmentation: only images whose file name begins with P")
    segmentation.add_argument(
        "--upsample", choices=UPSAMPLED,
        help="segmentation: resize the logits to the image, or the class indices (default: logits)",
    )  # fmt: skip
    pose = parser.add_argument_group("pose")
    pose.add_argument(
        "--boxes", metavar="FILE", help="detections in COCO's results format (default: ground-truth boxes)"
    )
    pose.add_argument("--detector", metavar="WHO", help="person detector to use instead, as in scalenet pose")
    pose.add_argument(
        "--input-size", type=height_width, metavar="HxW", help="size of the crops (default: the network's)"
    )
    pose.add_argument("--decode", choices=DECODERS, help="decoder of the heatmaps (default: the network's)")
    pose.add_argument("--results", metavar="FILE", help="also write the results, in COCO's results format")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate; returns the metrics as fractions, the number of images and the seconds it took."""
    kind = EVALUATORS[args.dataset]
    module = importlib.import_module(f"..evaluate.{kind}", __package__)
    given = {option: getattr(args, option) for option in OPTIONS if getattr(args, option) is not None}
    for option in given:
        if OPTIONS[option] != kind:
            raise ValueError(
                f"--{option.replace('_', '-')} is for {OPTIONS[option]} data sets, {args.dataset} is for {kind}"
            )
    scales = {} if args.scales is None else {"scales": args.scales}
    result = module.evaluate(
        args.name, args.dataset, args.root, args.split, checkpoint=args.checkpoint, limit=args.limit, flip=args.flip,
        device=args.device, batch_size=args.batch_size, engine=args.engine, dtype=args.dtype,
        calibration=args.calibration, **scales, **given,
    )  # fmt: skip
    if not args.json:
        print_metrics(result)
    return result


def print_metrics(result: dict[str, Any]) -> None:
    """Name and number, one a line."""
    for key, value in result.items():
        if key == "joints_compared":
            print(_compared(value, list(result["per_joint"])))
        elif isinstance(value, dict):
            print(f"{key}:")
            for name, part in value.items():
                print(f"  {name:20} {_number(part)}")
        else:
            print(f"{key:22} {_number(value)}")


def _compared(names: list[str], joints: list[str]) -> str:
    missing = ", ".join(joint for joint in joints if joint not in names)
    why = f" ({missing} {'are' if ',' in missing else 'is'} not the network's)" if missing else ""
    return f"{len(names)} of {len(joints)} joints compared{why}"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)
