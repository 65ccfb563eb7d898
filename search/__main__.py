"""Command line of the search package."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from contextlib import nullcontext
from typing import Any

from scalenet.cli import MainParser
from scalenet.commands.options import positive
from scalenet.labels import DATASETS
from training import distributed
from training.cli import run_command

from .archive import Archive, ArchiveError
from .recipes import RECIPES, get_recipe

FIELDS = (
    "fields of the search recipe to change: root, limit, evaluations, supernet … (docs: search.recipes.SearchRecipe)"
)
SHARED = ("run", "rank")  # by all processes under torchrun


def build_parser() -> argparse.ArgumentParser:
    parser = MainParser(prog="python -m search", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="search by a recipe; goes on where its archive ends")
    run.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    run.add_argument("overrides", nargs="*", metavar="key=value", help=FIELDS)
    report = commands.add_parser("report", help="table and plot of an archive")
    report.add_argument("archive")
    report.add_argument("-o", "--output", default="out/search/pareto.png", help="PNG to write")
    report.add_argument("--metric", default="score", help="name of the score")
    score = commands.add_parser("score", help="score single architectures with the supernet's weights")
    score.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    score.add_argument("overrides", nargs="*", metavar="key=value", help=FIELDS)
    score.add_argument(
        "--arch", nargs="+", default=["smallest", "largest"],
        help="smallest, largest, hrnet or architecture files (default: smallest largest)",
    )  # fmt: skip
    score.add_argument("--seeds", type=positive, default=1, help="how often to recalibrate, on other images each time")
    score.add_argument("-o", "--output", metavar="ARCHIVE", help="also add what was scored to this archive, for deploy")
    _add_deploy(commands)
    rank = commands.add_parser("rank", help="Kendall's tau: inherited metrics against training each alone")
    rank.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    rank.add_argument("alone", help="training recipe that trains one encoding")
    rank.add_argument(
        "overrides", nargs="*", metavar="key=value", help="for the training recipe; its root is the search's too"
    )
    rank.add_argument("--count", type=positive, default=12, help="how many architectures")
    rank.add_argument("-o", "--output", default="out/search/rank", help="folder to keep results in")
    return parser


def _add_deploy(commands: Any) -> None:
    deploy = commands.add_parser("deploy", help="write an architecture of an archive and its recalibrated weights")
    deploy.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    deploy.add_argument("archive")
    deploy.add_argument("overrides", nargs="*", metavar="key=value", help=FIELDS)
    deploy.add_argument("--name", required=True, help="name of the network and its files")
    deploy.add_argument("--dataset", required=True, choices=DATASETS, help="whose classes or joints the outputs are")
    deploy.add_argument("--digest", default="", help="an architecture of the archive; default the best in the limits")
    deploy.add_argument("--max-params", type=int, default=0, help="most parameters it may have")
    deploy.add_argument("--max-macs", type=int, default=0, help="most multiply-adds, for example 2400000000")
    deploy.add_argument("--terms", default="", help="licence and data note for the file (default: the supernet's)")
    deploy.add_argument("-o", "--output", default="out/deploy", help="folder to write into")


def run(args: argparse.Namespace) -> None:
    """``run RECIPE [key=value ...]``."""
    from .run import search

    recipe = get_recipe(args.recipe, args.overrides)
    folder = search(recipe)
    if distributed.rank() == 0:
        print((folder / "pareto.txt").read_text(), end="")
        print(folder / "pareto.png")


def report(args: argparse.Namespace) -> None:
    """``report ARCHIVE``."""
    from .report import plot, table

    archive = read_archive(args.archive)
    records, costs = list(archive.records.values()), archive.identity.get("objectives", ["macs"])
    print(table(records, args.metric, costs))
    print(plot(records, args.output, args.metric, costs=costs))


def score(args: argparse.Namespace) -> None:
    """``score RECIPE [key=value ...] [--arch A ...]``: a JSON object a line."""
    from training.start import named_arch

    from .run import make_evaluator

    recipe = get_recipe(args.recipe, args.overrides)
    evaluator = make_evaluator(recipe, join=False)
    archive = Archive(args.output) if args.output else None
    with archive.alone() if archive is not None else nullcontext():
        if archive is not None:
            archive.identify(evaluator.identity)
        for name, size in itertools.product(args.arch, recipe.sizes or (None,)):
            arch = named_arch(evaluator.space, name)
            arch = arch.replace(input_size=size) if size else arch
            record, *others = (evaluator.score(arch, seed=seed) for seed in range(args.seeds))
            if archive is not None and arch not in archive:
                archive.add(record)
            row = {"arch": name, "input_size": list(arch.input_size), "params": record.params, "macs": record.macs,
                   evaluator.metric: round(record.score, 4)}  # fmt: skip
            if others:
                scores = [r.score for r in (record, *others)]
                row["by_seed"] = [round(s, 4) for s in scores]
            print(json.dumps(row), flush=True)


def deploy(args: argparse.Namespace) -> None:
    """``deploy RECIPE ARCHIVE --name N --dataset D``."""
    from .deploy import choose
    from .deploy import deploy as write
    from .run import make_evaluator

    archive = read_archive(args.archive)
    record = choose(list(archive.records.values()), args.digest, args.max_params, args.max_macs)
    evaluator = make_evaluator(get_recipe(args.recipe, args.overrides), join=False)
    print(json.dumps(write(evaluator, archive, record, args.name, args.output, args.dataset, args.terms)))


def rank(args: argparse.Namespace) -> None:
    """``rank RECIPE ALONE [key=value ...]``."""
    from training.recipes import get_recipe as get_training_recipe

    from .rank import compare, kendall_tau
    from .run import make_evaluator

    alone = get_training_recipe(args.alone, args.overrides)
    evaluator = make_evaluator(get_recipe(args.recipe, [f"root={alone.root}"]))
    rows = compare(evaluator, alone, args.count, args.output)
    if distributed.rank() == 0:
        for row in rows:
            print(json.dumps(row))
        by_steps = round(kendall_tau(rows, "trained_steps"), 4)  # a budget in minutes favours fast networks
        tau = {"kendall_tau": round(kendall_tau(rows), 4), "alone_against_trained_steps": by_steps}
        print(json.dumps({**tau, "archs": len(rows)}))


def read_archive(path: str) -> Archive:
    """An archive with something in it.

    Raises:
        ArchiveError: if it is missing or empty.
    """
    archive = Archive(path)
    if not len(archive):
        raise ArchiveError(f"no search archive with records at {path}")
    return archive


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 2 for anything the user can fix."""
    commands = {"run": run, "report": report, "score": score, "deploy": deploy, "rank": rank}
    stopped = "stopped; a search resumes from its archive with the same command"
    return run_command(build_parser(), commands, SHARED, stopped, argv)


if __name__ == "__main__":
    sys.exit(main())
