"""The search itself: evaluate the start set, then generation after generation; goes on where its archive ends."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tqdm import tqdm

from scalenet.archs.arch import Arch, SearchSpace
from scalenet.data.io import write_text
from training import distributed
from training.recipes import get_recipe as get_training_recipe
from training.signals import Interrupt

from .archive import Archive, Record, key_of
from .evaluator import Evaluator, EvaluatorPlan
from .evolution import initial_population, offspring, select_parents
from .executors import Executor, Processes
from .latency import Timing
from .ray_actors import Pool, RayActors
from .recipes import SearchRecipe
from .report import plot_front, table
from .report_page import write_page


def plan_of(recipe: SearchRecipe) -> EvaluatorPlan:
    """What the evaluators of a search recipe are made of."""
    training = get_training_recipe(recipe.recipe)
    places = {"root": recipe.root, "more_roots": recipe.more_roots, "backgrounds": recipe.backgrounds}
    training = training.changed(**{key: place for key, place in places.items() if place})
    timing = Timing(recipe.latency_batch, recipe.latency_dtype) if "latency" in recipe.objectives else None
    return EvaluatorPlan(recipe.supernet, training, recipe.calibration, recipe.limit, timing)


def make_evaluator(recipe: SearchRecipe, join: bool = True) -> Evaluator:
    """The evaluator a search recipe names; ``join`` as for :class:`~search.evaluator.Evaluator`."""
    return Evaluator(plan_of(recipe), join)


def evaluate_all(executor: Executor, archs: list[Arch], generation: int, archive: Archive, bar: tqdm) -> bool:
    """Score architectures; rank 0 writes the archive, every rank knows the records.

    Returns:
        whether all were scored: a search that is asked to end does so after those it is at.
    """
    scored = 0
    for record in executor.map(archs, generation):
        archive.add(record) if distributed.rank() == 0 else archive.records.setdefault(record.key, record)
        scored += 1
        bar.update()
        bar.set_postfix(score=f"{record.score:.3f}", gmacs=f"{record.macs / 1e9:.2f}", refresh=False)
    return scored == len(archs)


def _is_known(records: Mapping[str, Record], arch: Arch) -> bool:
    return key_of(arch) in records


def generations(recipe: SearchRecipe, space: SearchSpace, archive: Archive) -> Iterator[tuple[int, list[Arch]]]:
    """Generation after generation, from the archive's latest on: its number and those of it that are to be scored.

    A generation depends on the recipe, its number and the records of earlier ones alone, so that a search that was
    killed anywhere finishes the one it was at, and finds what it would have found.
    """
    rng = random.Random
    for generation in itertools.count(max(0, archive.last_generation)):
        before = archive.before(generation)
        wanted = recipe.evaluations - len(before)
        if generation == 0:
            new = initial_population(space, rng(recipe.seed), recipe.initial_population, recipe.sizes)[: max(0, wanted)]
        elif wanted > 0:
            parents = [
                r.arch
                for r in select_parents(list(before.values()), recipe.population, recipe.objectives, recipe.ranking)
            ]
            new = list(
                offspring(parents, space, rng(f"{recipe.seed}/{generation}"), min(recipe.offspring, wanted),
                         partial(_is_known, before), cross=recipe.cross, fusion=recipe.fusion,
                         depth=recipe.depth, last=recipe.last, sizes=recipe.sizes, tournament=recipe.ranking == "nsga2")
            )  # fmt: skip
        else:
            return
        if generation and not new:
            return
        room = max(0, recipe.evaluations - len(archive))
        yield generation, [arch for arch in new if arch not in archive][:room]


NOT_OF_THE_SEARCH = (
    "name", "recipe", "supernet", "root", "more_roots", "backgrounds", "evaluations", "calibration", "limit", "out",
)  # fmt: skip


def search(recipe: SearchRecipe, pool: Pool | None = None) -> Path:
    """Run a search recipe; writes ``archive.jsonl``, ``pareto.svg``, ``pareto.txt`` and ``report.html``;
    returns their folder.

    SIGTERM and Ctrl-C end it in order after the architectures it is at.

    Args:
        pool: Ray's actors that score; None: this process, or all of ``torchrun``'s.

    Raises:
        ArchiveError: if another run writes there, or the archive is of other settings (of more or fewer
            ``evaluations`` it may be).
        ConnectionError, RecipeError, ImportError: if Ray cannot be reached, has no room, or is missing.
    """
    folder = Path(recipe.out or f"out/search/{recipe.name}")
    evaluator, archive = make_evaluator(recipe), Archive(folder / "archive.jsonl")
    own = {k: v for k, v in asdict(recipe).items() if k not in NOT_OF_THE_SEARCH}
    main, interrupt = distributed.rank() == 0, Interrupt()

    def stop() -> bool:
        return bool(interrupt.asked)

    workers = Processes(evaluator, stop) if pool is None else RayActors(evaluator, stop, pool)
    with workers, archive.alone() if main else nullcontext(), interrupt:
        if main:
            archive.identify({**evaluator.identity, **own})
        bar = tqdm(total=recipe.evaluations, initial=len(archive), desc=recipe.name, disable=not main)
        with bar:
            for generation, archs in generations(recipe, evaluator.space, archive):
                if not evaluate_all(workers, archs, generation, archive, bar):
                    break
        if main:
            _conclude(recipe, folder, archive, evaluator.metric, bool(interrupt.asked))
    return folder


def _conclude(recipe: SearchRecipe, folder: Path, archive: Archive, metric: str, stopped: bool) -> None:
    records = list(archive.records.values())
    if stopped:
        print("stopped; the same command goes on from here", file=sys.stderr)
    plot_front(records, folder / "pareto.svg", metric, recipe.objectives)
    write_text(folder / "pareto.txt", table(records, metric, recipe.objectives) + "\n")
    if records:
        write_page(records, folder / "report.html", metric)
