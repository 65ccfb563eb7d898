"""``scalenet score RESULTS.json``: a data set's standard metrics, for keypoint results of any origin."""

from __future__ import annotations

import argparse
from typing import Any

from ..archs.tasks import POSE
from .evaluate import EVALUATORS, print_metrics

KEYPOINT_SETS = [dataset for dataset, task in EVALUATORS.items() if task == POSE.name]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("results", metavar="RESULTS.json", help="keypoint results in COCO's format (a JSON list)")
    parser.add_argument("--dataset", required=True, choices=KEYPOINT_SETS, help="whose metrics to compute")
    parser.add_argument(
        "--annotations", required=True, metavar="FILE", help="the data set's annotations, in COCO's format"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score; returns the metrics as fractions."""
    from ..evaluate.scores import score

    result = score(args.results, args.dataset, args.annotations)
    if not args.json:
        print_metrics(result)
    return result
