"""``scalenet list``: the networks there are."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("pattern", nargs="?", help='wildcard for names, for example "scalenet_s*"')
    parser.add_argument("--pretrained", action="store_true", help="only networks with published weights")
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Facts of every registered network, as :mod:`.info` gives them, without the architectures."""
    from ..models.factory import list_models
    from ..models.info import markdown_table, registered_info

    names = list_models(args.pattern)
    known = [facts.summary() for facts in registered_info() if facts.name.partition(".")[0] in names]
    rows = sorted(known, key=lambda row: names.index(row["name"].partition(".")[0]))
    rows = [row for row in rows if row["weights"]["available"] or not args.pretrained]
    if not rows:
        args.status = 1
        print(f"scalenet list: no network matches {args.pattern!r}: see scalenet list", file=sys.stderr)
        return {"models": []}
    if args.markdown and not args.json:
        print(markdown_table(rows))
    elif not args.json:
        _print(rows)
    return {"models": rows}


def _print(rows: list[dict[str, Any]]) -> None:
    print(f"{'name':22} {'task':13} {'input':>10} {'parameters':>12} {'GMACs':>9}  weights")
    for row in rows:
        size = "x".join(map(str, row["input_size"]))
        print(
            f"{row['name']:22} {row['task']:13} {size:>10} {row['params']:>12,} {row['macs'] / 1e9:>9.3f}  "
            f"{row['weights']['summary']}"
        )
