"""Predict large sets of images: ``python -m scalenet.ray IMAGE… -m NAME -o FOLDER``, here or on a Ray cluster."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from scalenet.commands.inputs import HELP, find_sources
from scalenet.runtime.command_line import EXPECTED, MainParser, positive
from scalenet.runtime.errors import one_line

from . import predict


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``python -m scalenet.ray``."""
    parser = MainParser(prog="python -m scalenet.ray", description=__doc__, allow_abbrev=False)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=HELP.partition(", - for")[0])
    parser.add_argument("--recursive", action="store_true", help="also search subfolders")
    parser.add_argument("-m", "--model", required=True, metavar="NAME", help="name or file of a network")
    parser.add_argument(
        "-o", "--out", required=True, metavar="FOLDER", help="folder for Parquet files; an existing one is resumed"
    )
    parser.add_argument(
        "--address", default="", help="Ray cluster: HOST:PORT or auto (default: start Ray on this machine)"
    )
    parser.add_argument(
        "--actors", type=positive, default=1, help="number of actors, each with the network (default: %(default)s)"
    )
    parser.add_argument("--num-cpus", type=positive, default=1, help="CPU cores per actor (default: %(default)s)")
    parser.add_argument("--num-gpus", type=float, default=0.0, help="GPUs per actor, for example 1 or 0.5 (default: 0)")
    parser.add_argument("--batch-size", type=positive, default=8, help="images per batch (default: %(default)s)")
    return parser


def summary(rows: Any) -> dict[str, Any]:
    """How many rows there are, and the images that could not be read."""
    failed = rows.filter(lambda row: row["error"] != "").select_columns(["path", "error"]).take_all()
    return {"images": rows.count(), "failed": failed}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 2 for anything the user can mend, 1 where an image could not be read."""
    args = build_parser().parse_args(argv)
    try:
        paths = [source.text for source in find_sources(args.images, args.recursive)]
        done = summary(predict(
            paths, args.model, out=args.out, actors=args.actors, num_cpus=args.num_cpus, num_gpus=args.num_gpus,
            batch_size=args.batch_size, address=args.address,
        ))  # fmt: skip
    except EXPECTED as e:
        print(f"error: {one_line(e)}", file=sys.stderr)
        return 2
    print(json.dumps({**done, "out": args.out}))
    return 1 if done["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
