"""``scalenet score RESULTS.json``: the usual metrics for anybody's results."""

from __future__ import annotations

import argparse
from typing import Any

from ..evaluate.scores import SCORES, score
from .evaluate import print_metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("results", metavar="RESULTS.json", help="a list of COCO keypoint results")
    parser.add_argument("--dataset", required=True, choices=SCORES, help="whose figures")
    parser.add_argument("--annotations", required=True, metavar="FILE", help="the data set's annotation file")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score; returns the metrics as fractions."""
    result = score(args.results, args.dataset, args.annotations)
    if not args.json:
        print_metrics(result)
    return result
