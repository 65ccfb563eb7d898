"""``scalenet evaluate NAME``: the usual figures over a data set."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from .options import positive

EVALUATORS = {  # data set: module of scalenet.evaluate with evaluate(name, dataset, root, split, ...) -> dict
    "camvid": "segmentation",
    "cityscapes": "segmentation",
}


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("evaluate", help="the usual figures over a data set")
    parser.add_argument("name", metavar="NAME", help="a registered name, hf-hub:…, local-dir:… or a .safetensors file")
    parser.add_argument("--dataset", required=True, choices=EVALUATORS)
    parser.add_argument("--root", required=True, help="folder of the data set")
    parser.add_argument("--split", default="val", help="folder or annotation name (default: %(default)s)")
    parser.add_argument("--checkpoint", help="a .safetensors file to read instead of the published weights")
    parser.add_argument("--limit", type=positive, help="only the first pictures")
    parser.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, help="mean with the mirrored picture (default: pose only)"
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first there is)")
    parser.add_argument("--batch-size", type=positive, help="pictures, or people, that run together")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate; returns the figures as fractions, the number of pictures and the seconds it took."""
    module = importlib.import_module(f"..evaluate.{EVALUATORS[args.dataset]}", __package__)
    result = module.evaluate(
        args.name, args.dataset, args.root, args.split, checkpoint=args.checkpoint, limit=args.limit, flip=args.flip,
        device=args.device, batch_size=args.batch_size,
    )  # fmt: skip
    if not args.json:
        _print(result)
    return result


def _print(result: dict[str, Any]) -> None:
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, part in value.items():
                print(f"  {name:20} {_number(part)}")
        else:
            print(f"{key:22} {_number(value)}")


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)
