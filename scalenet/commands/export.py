"""``scalenet export NAME``: a network as ONNX or torch.export program."""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("name", metavar="NAME", help="a registered name, hf-hub:…, local-dir:… or a .safetensors file")
    parser.add_argument("--format", choices=("onnx", "pt2"), help="default: by the file's suffix")
    parser.add_argument("--int8", action="store_true", help="ONNX: in 8-bit integers, calibrated with images")
    parser.add_argument("--calibration", metavar="FOLDER", help="images for --int8, as the network will see")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="the file to write")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Export; returns the file, its size, and the largest difference to the original found when it was checked."""
    from ..engines.export import export
    from ..models.factory import load_model

    if args.int8 != (args.calibration is not None):
        raise ValueError("--int8 and --calibration FOLDER, images to calibrate it with, belong together")
    found = export(load_model(args.name), args.out, args.format, calibration=args.calibration)
    result = {"model": args.name, **found}
    if not args.json:
        print(f"{result['path']} ({result['bytes'] / 1e6:.1f} MB): images -> {', '.join(result['outputs'])}")
        least = f" from {result['smallest_side']} pixels on" if result["smallest_side"] > 1 else ""
        print(f"  batch, height and width are free{least}")
        print(f"  largest difference to the original {result['max_difference']:.1e}")
    return result
