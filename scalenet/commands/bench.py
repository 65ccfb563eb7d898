"""``scalenet bench NAME…``: milliseconds per image."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..runtime.command_line import positive
from .options import add_calibration, height_width


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="networks; registered names run with random weights")
    parser.add_argument("--size", type=height_width, help="HxW (default: the network's own)")
    parser.add_argument(
        "--engines", default="torch", metavar="LIST",
        help="all, or a list such as torch,onnxruntime,openvino:bfloat16, timed alternately (default: %(default)s)",
    )  # fmt: skip
    add_calibration(parser)
    parser.add_argument("--batch-size", type=positive, default=1, help="images per batch (default: %(default)s)")
    parser.add_argument("--threads", type=positive, help="CPU threads")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="duration of each measurement (default: %(default)s)"
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first that is available)")
    parser.add_argument("--table", metavar="FILE", help="also write a Markdown table, with the CPU's name")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time each network; returns one row for each, or for each engine."""
    import torch

    from ..bench import bench_engines, bench_table, parse_pairs
    from ..data.io import write_text
    from ..engines.machine import processor
    from ..models.factory import load_model

    pairs = parse_pairs(args.engines, args.calibration is not None)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    # time does not depend on weights: registered networks need none
    models = {name: load_model(name, pretrained=False) for name in args.names}
    rows = []
    if not args.json:
        print(
            f"{'name':24} {'ms':>9} {'least':>9} {'parameters':>12} {'GMACs':>9} {'of matmul':>9}  engine, size, device"
        )
    refused = _say if args.engines == "all" else None
    for name, model in models.items():
        found = bench_engines(
            model, pairs, args.size, args.device, args.seconds, args.batch_size, refused, args.calibration
        )
        rows += [{"name": name, **row} for row in found]
        if not args.json:
            _print(rows[-len(found) :])
    if args.table:
        threads = torch.get_num_threads()
        head = f"{processor()}, {threads} thread{'s' * (threads > 1)}, torch {torch.__version__}"
        write_text(args.table, f"{head}\n\n{bench_table(rows)}")
    return {"results": rows}


def _say(reason: str) -> None:
    print(f"left out: {reason}", file=sys.stderr)


def _print(rows: list[dict[str, Any]]) -> None:
    from ..bench import shown_share

    for row in rows:
        print(
            f"{row['name']:24} {row['ms']:>9.2f} {row['ms_min']:>9.2f} {row['params']:>12,} {row['macs'] / 1e9:>9.3f} "
            f"{shown_share(row):>9}  {row['engine']} {row['dtype']}, {row['size'][0]}x{row['size'][1]}, "
            f"{row['device']}, {row['threads']} threads"
        )
