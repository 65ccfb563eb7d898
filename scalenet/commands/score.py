"""``scalenet score RESULTS.json``: the usual figures for anybody's results."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from .evaluate import print_figures

SCORERS = {  # data set: module of scalenet.evaluate with score(results, dataset, annotations) -> dict
    "coco": "topdown",
    "lsp": "topdown",
    "crowdpose": "topdown",
}


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("score", help="the same figures for anybody's results file")
    parser.add_argument("results", metavar="RESULTS.json", help="a list of COCO keypoint results")
    parser.add_argument("--dataset", required=True, choices=SCORERS, help="whose figures")
    parser.add_argument("--annotations", required=True, metavar="FILE", help="the data set's annotation file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score; returns the figures as fractions."""
    module = importlib.import_module(f"..evaluate.{SCORERS[args.dataset]}", __package__)
    result = module.score(args.results, args.dataset, args.annotations)
    if not args.json:
        print_figures(result)
    return result
