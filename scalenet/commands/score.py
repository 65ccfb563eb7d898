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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("results", metavar="RESULTS.json", help="a list of COCO keypoint results")
    parser.add_argument("--dataset", required=True, choices=SCORERS, help="whose figures")
    parser.add_argument("--annotations", required=True, metavar="FILE", help="the data set's annotation file")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score; returns the figures as fractions."""
    module = importlib.import_module(f"..evaluate.{SCORERS[args.dataset]}", __package__)
    result = module.score(args.results, args.dataset, args.annotations)
    if not args.json:
        print_figures(result)
    return result
