"""Command line of the search package."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from scalenet.commands.options import counted, milliseconds
from scalenet.data.io import read_lines
from scalenet.data.labels import DATASETS
from scalenet.runtime.command_line import positive
from training import distributed
from training.checks import RecipeError
from training.cli import recipe_parser, run_command

from .archive import Archive, ArchiveError
from .recipes import RECIPES, get_recipe

FIELDS = (
    "fields of the search recipe to change: root, limit, evaluations, supernet … (docs: search.recipes.SearchRecipe)"
)
SHARED = ("run", "rank")  # by all processes under torchrun


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``python -m search``."""
    about = "search with a recipe; continues where its archive ends"
    parser, commands = recipe_parser("python -m search", __doc__, about, RECIPES, FIELDS)
    _add_executor(commands.choices["run"])
    report = commands.add_parser(
        "report", help="print a table of an archive and plot its front, or write an HTML report"
    )
    report.add_argument("archive")
    report.add_argument(
        "-o", "--output", default="out/search/pareto.svg", help="SVG or HTML file to write (default: %(default)s)"
    )
    report.add_argument("--metric", default="score", help="name of the score")
    report.add_argument(
        "--rank", metavar="FILE", help="rank.jsonl of search rank, to compare with stand-alone training (HTML)"
    )
    _add_score(commands)
    _add_deploy(commands)
    _add_front(commands)
    rank = commands.add_parser("rank", help="Kendall's tau between inherited and stand-alone metrics")
    rank.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    rank.add_argument("alone", help="training recipe for a single architecture")
    rank.add_argument(
        "overrides", nargs="*", metavar="key=value", help="fields of the training recipe; its root is also the search's"
    )
    rank.add_argument("--count", type=positive, default=12, help="number of architectures")
    rank.add_argument("-o", "--output", default="out/search/rank", help="folder for the results")
    return parser


def _add_score(commands: Any) -> None:
    score = commands.add_parser("score", help="score single architectures with the supernet's weights")
    score.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    score.add_argument("overrides", nargs="*", metavar="key=value", help=FIELDS)
    score.add_argument(
        "--arch", nargs="+", default=["smallest", "largest"],
        help="smallest, largest, hrnet, hrnet:DEPTH (its pattern, uniformly scaled) or architecture files "
        "(default: smallest largest)",
    )  # fmt: skip
    score.add_argument("--seeds", type=positive, default=1, help="number of recalibrations, each on other images")
    score.add_argument(
        "--against", metavar="FRONT",
        help="also score the best member of this front (a file or name) within the same multiply-adds",
    )  # fmt: skip
    score.add_argument(
        "-o", "--output", metavar="ARCHIVE", help="also add the results to this archive, for deploy and report"
    )


def _add_executor(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--executor", choices=("processes", "ray"), default="processes",
        help="what scores the candidates: this process or all of torchrun's, or Ray actors (default: %(default)s)",
    )  # fmt: skip
    where = "Ray cluster: HOST:PORT, ray://HOST:PORT or auto (default: start Ray on this machine)"
    run.add_argument("--address", default="", help=where)
    run.add_argument("--actors", type=positive, default=0, help="number of Ray actors (default: as many as fit)")
    run.add_argument("--num-cpus", type=positive, default=1, help="CPU cores per actor (default: %(default)s)")
    run.add_argument("--num-gpus", type=float, default=0.0, help="GPUs per actor, for example 1 or 0.5 (default: 0)")


def _add_deploy(commands: Any) -> None:
    deploy = commands.add_parser("deploy", help="write an architecture of an archive with its recalibrated weights")
    deploy.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    deploy.add_argument("archive")
    deploy.add_argument("overrides", nargs="*", metavar="key=value", help=FIELDS)
    deploy.add_argument("--name", required=True, help="name of the network and its files")
    deploy.add_argument(
        "--dataset", required=True, choices=DATASETS, help="data set whose classes or joints the outputs are"
    )
    deploy.add_argument(
        "--digest", default="", help="an architecture of the archive (default: the best within the limits)"
    )
    deploy.add_argument("--max-params", type=counted, default=0, help="maximum number of parameters, for example 1.2M")
    deploy.add_argument("--max-macs", type=counted, default=0, help="maximum number of multiply-adds, for example 2.5G")
    deploy.add_argument(
        "--max-latency", type=milliseconds, default=0.0, help="maximum time for one image, for example 8ms"
    )
    deploy.add_argument(
        "--device", help="where --max-latency is measured: cuda, mps or cpu (default: the first that is available)"
    )
    deploy.add_argument("--terms", default="", help="licence and data note for the file (default: the supernet's)")
    deploy.add_argument("-o", "--output", default="out/deploy", help="folder to write into")


def _add_front(commands: Any) -> None:
    front = commands.add_parser("front", help="write a front: the best of an archive at several sizes, in one file")
    front.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    front.add_argument("archive")
    front.add_argument("overrides", nargs="*", metavar="key=value", help=f"{FIELDS}; sizes: those of the members")
    front.add_argument("-o", "--output", required=True, metavar="FRONT", help="file to write, NAME.front.safetensors")
    front.add_argument(
        "--members", type=positive, default=20,
        help="number of candidates to measure (default: %(default)s); those that no cheaper one matches become members",
    )  # fmt: skip
    front.add_argument(
        "--default", default="", metavar="NAME",
        help="a published network of this supernet to include unchanged, for example scalenet_p0; cheaper candidates "
        "with the same score are left out",
    )  # fmt: skip
    front.add_argument("--check", action="store_true", help="measure the members of FRONT again instead of writing it")


def run(args: argparse.Namespace) -> None:
    """``run RECIPE [key=value ...]``."""
    from .run import search

    recipe = get_recipe(args.recipe, args.overrides)
    folder = search(recipe, _pool(args))
    if distributed.rank() == 0:
        print((folder / "pareto.txt").read_text(), end="")
        print(folder / "pareto.svg")


def _pool(args: argparse.Namespace) -> Any:
    """The Ray actors of a command line, None where it names none."""
    from .ray_actors import Pool

    asked = {"address": args.address, "actors": args.actors, "cpus": args.num_cpus, "gpus": args.num_gpus}
    if args.executor == "ray":
        return Pool(**asked)
    if Pool(**asked) != Pool():
        raise RecipeError("--address, --actors, --num-cpus and --num-gpus are of --executor ray")
    return None


def report(args: argparse.Namespace) -> None:
    """``report ARCHIVE``."""
    from .report import plot_front, table
    from .report_page import write_page

    archive, page = read_archive(args.archive), Path(args.output).suffix.lower() == ".html"
    records, costs = list(archive.records.values()), archive.identity.get("objectives", ["macs"])
    if args.rank and not (page and Path(args.rank).is_file()):
        raise ArchiveError(f"--rank takes a file, for an HTML page (-o FILE.html): {args.rank}")
    alone = list(read_lines(Path(args.rank))) if args.rank else []
    print(table(records, args.metric, costs))
    if page:
        print(write_page(records, args.output, args.metric, alone))
    else:
        print(plot_front(records, args.output, args.metric, costs=costs))


def score(args: argparse.Namespace) -> None:
    """``score RECIPE [key=value ...] [--arch A ...]``: a JSON object a line."""
    from scalenet.engines.front import Front
    from training.start import arch_of_space

    from .compare import Comparison
    from .run import make_evaluator

    recipe, front = get_recipe(args.recipe, args.overrides), Front(args.against) if args.against else None
    evaluator = make_evaluator(recipe, join=False)
    archive = Archive(args.output) if args.output else None
    comparison = Comparison(front, evaluator) if front is not None else None
    with archive.alone() if archive is not None else nullcontext():
        if archive is not None:
            archive.identify(evaluator.identity)
        for name, size in itertools.product(args.arch, recipe.sizes or (None,)):
            arch = arch_of_space(evaluator.space, name)
            arch = arch.replace(input_size=size) if size else arch
            record, *others = (evaluator.score(arch, seed=seed) for seed in range(args.seeds))
            row = {"arch": name, "input_size": list(arch.input_size), "params": record.params, "macs": record.macs,
                   evaluator.metric: round(record.score, 4)}  # fmt: skip
            if others:
                scores = [r.score for r in (record, *others)]
                row["by_seed"] = [round(s, 4) for s in scores]
            print(json.dumps(row | (comparison.beside(record) if comparison else {})), flush=True)
            for scored in (record, *(comparison.scored.values() if comparison else ())):
                if archive is not None and scored.arch not in archive:
                    archive.add(scored)
    if comparison is not None:
        print(json.dumps(comparison.summary()))


def deploy(args: argparse.Namespace) -> None:
    """``deploy RECIPE ARCHIVE --name N --dataset D``."""
    from .deploy import choose, latency_of
    from .deploy import deploy as write
    from .run import make_evaluator

    archive = read_archive(args.archive)
    records = list(archive.records.values())
    choose(
        records, args.digest, args.max_params, args.max_macs
    )  # what nothing keeps to is said before anything is read
    evaluator = make_evaluator(get_recipe(args.recipe, args.overrides), join=False)
    ms = latency_of(evaluator, args.device)
    record = choose(records, args.digest, args.max_params, args.max_macs, args.max_latency, ms)
    print(json.dumps(write(evaluator, archive, record, args.name, args.output, args.dataset, args.terms)))


def front(args: argparse.Namespace) -> None:
    """``front RECIPE ARCHIVE [key=value ...] -o FRONT``."""
    from scalenet.engines.front import Front

    from .front import build, check_front
    from .run import make_evaluator

    recipe, archive = get_recipe(args.recipe, args.overrides), read_archive(args.archive)
    written = Front(args.output) if args.check else None
    evaluator = make_evaluator(recipe, join=False)
    if written is None:
        made = build(evaluator, archive, args.output, args.members, recipe.sizes, args.default)
        print(made.table())
        print(args.output)
        return
    for name, said, now in check_front(evaluator, written):
        print(json.dumps({"member": name, "recorded": said, "measured": now, "same": abs((said or 0) - now) <= 1e-4}))


def rank(args: argparse.Namespace) -> None:
    """``rank RECIPE ALONE [key=value ...]``."""
    from training.recipes import get_recipe as get_training_recipe

    from .rank import compare, kendall_tau
    from .run import make_evaluator

    alone = get_training_recipe(args.alone, args.overrides)
    evaluator = make_evaluator(get_recipe(args.recipe).changed(root=alone.data.root, more_roots=alone.data.more_roots))
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
    commands = {"run": run, "report": report, "score": score, "deploy": deploy, "front": front, "rank": rank}
    stopped = "stopped; a search resumes from its archive with the same command"
    return run_command(build_parser(), commands, SHARED, stopped, argv)


if __name__ == "__main__":
    sys.exit(main())
