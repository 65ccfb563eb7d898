"""``scalenet convert CHECKPOINT``: the authors' ``.pth`` to safetensors, their ``.npy`` masks to architectures."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .pth file, HRNet weights, or a .npy mask file")
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--model", metavar="NAME", help="a registered network (scalenet_s1 …) or hrnet_w32")
    network.add_argument("--arch", metavar="FILE.json", help="an architecture file")
    parser.add_argument(
        "--task", choices=("segmentation", "pose"), help="task of a mask file, or of hrnet_wN (default: segmentation)"
    )
    parser.add_argument("--width", type=int, metavar="W", help="for a mask file: channels of branch 0, 32 or 48")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help=".safetensors, or .json for a mask file")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Convert; returns what was written."""
    from ..models import convert, mask_files

    if args.checkpoint.endswith(".npy"):
        if not args.task or not args.width:
            raise ValueError("a mask file needs --task and --width: it holds neither")
        result = mask_files.convert_masks(args.checkpoint, args.out, args.task, args.width)
        if not args.json:
            print(f"{result['path']}: {result['arch']}, digest {result['digest']}")
        return result
    if not args.model and not args.arch:
        raise ValueError("give the network: --model NAME or --arch FILE.json")
    if not args.out.endswith(".safetensors"):
        raise ValueError(f"the output is a .safetensors file, got {args.out}")
    result = convert.convert_checkpoint(args.checkpoint, args.out, *_network(args.model, args.arch, args.task))
    if result["needs_recalibration"]:
        print(
            "warning: these BatchNorm statistics are a supernet's and fit no sub-network; recalibrate on training "
            f"images before use: python -m training recalibrate {args.out} --data ROOT", file=sys.stderr,
        )  # fmt: skip
    if not args.json:
        head = "" if result["head"] else " (no head: the file is a classifier's)"
        print(f"{result['path']}: {result['arch']}, {result['entries']} of {result['of']} entries{head}")
    return result


def _network(model: str | None, arch: str | None, task: str | None) -> tuple[Any, Any]:
    from ..archs.arch import TASKS, Arch
    from ..models.names import parse_name
    from ..models.pretrained import find_entry
    from ..models.scalenet import resolve_arch

    if arch:
        return Arch.load(arch), None
    if model is None:
        raise ValueError("give the network: --model NAME or --arch FILE.json")
    if model.startswith("hrnet_w"):
        return resolve_arch(model, task), None
    name = parse_name(model)
    entry = find_entry(name.place, name.tag) if name.kind == "registered" else None
    if entry is None or entry.task not in TASKS:
        raise ValueError(f"{name} has no file of the authors'; there are scalenet_p1 … p4, scalenet_s1 … s4")
    return entry.arch, entry
