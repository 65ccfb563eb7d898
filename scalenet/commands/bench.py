"""``scalenet bench NAME…``: milliseconds per image."""

from __future__ import annotations

import argparse
from typing import Any

from .options import height_width, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="networks; registered ones run with random weights")
    parser.add_argument("--size", type=height_width, help="HxW (default: the network's own)")
    parser.add_argument("--threads", type=positive, help="processor threads")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to measure each (default: %(default)s)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first there is)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time each network; returns one row for each."""
    import torch

    from ..bench import bench
    from ..models.factory import load_model

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    # time does not depend on weights: registered networks need none
    models = {name: load_model(name, pretrained=False) for name in args.names}
    rows = []
    if not args.json:
        print(f"{'name':24} {'ms':>9} {'parameters':>12} {'GMACs':>9}  size, device")
    for name, model in models.items():
        row = {"name": name, **bench(model, args.size, args.device, args.seconds)}
        rows.append(row)
        if not args.json:
            print(
                f"{name:24} {row['ms']:>9.2f} {row['params']:>12,} {row['macs'] / 1e9:>9.3f}  "
                f"{row['size'][0]}x{row['size'][1]}, {row['device']}, {row['threads']} threads"
            )
    return {"results": rows}
