"""The search itself: evaluate the start set, then generation after generation; goes on where its archive ends."""

from __future__ import annotations

import random
from pathlib import Path

from tqdm import tqdm

from scalenet.arch import Arch
from training import distributed
from training.config import override
from training.recipes import get_recipe as get_training_recipe

from .archive import Archive, Record
from .evaluator import Evaluator
from .evolution import children, select, start_set
from .recipes import SearchRecipe
from .report import plot, table


def make_evaluator(recipe: SearchRecipe, join: bool = True) -> Evaluator:
    """The evaluator a search recipe names; ``join`` as for :class:`~search.evaluator.Evaluator`."""
    training = get_training_recipe(recipe.recipe)
    if recipe.root:
        training = override(training, [f"root={recipe.root}"])
    return Evaluator(recipe.supernet, training, recipe.calibration, recipe.limit, join)


def evaluate_all(evaluator: Evaluator, archs: list[Arch], generation: int, archive: Archive, bar: tqdm) -> None:
    """Score encodings, shared out over the processes; rank 0 writes the archive, every rank knows the records."""
    rank, world = distributed.rank(), distributed.world()
    for start in range(0, len(archs), world):
        group = archs[start : start + world]
        mine = evaluator.score(group[rank], generation) if rank < len(group) else None
        for record in _gather(mine):
            if record is not None:
                archive.add(record) if rank == 0 else archive.records.setdefault(record.key, record)
                bar.update()
                bar.set_postfix(score=f"{record.score:.3f}", gmacs=f"{record.macs / 1e9:.2f}", refresh=False)


def _gather(record: Record | None) -> list[Record | None]:
    if distributed.world() == 1:
        return [record]
    from torch import distributed as dist

    lines: list[str | None] = [None] * distributed.world()
    dist.all_gather_object(lines, record and record.to_json())
    return [Record.from_json(line) if line else None for line in lines]


def search(recipe: SearchRecipe) -> Path:
    """Run a search recipe; writes ``archive.jsonl``, ``pareto.png`` and ``pareto.txt``; returns their folder."""
    folder = Path(recipe.out or f"out/search/{recipe.name}")
    evaluator, archive = make_evaluator(recipe), Archive(folder / "archive.jsonl")
    space = evaluator.space
    first = [a for a in start_set(space, random.Random(recipe.seed), recipe.start, recipe.sizes) if a not in archive]
    main = distributed.rank() == 0
    with tqdm(total=recipe.evaluations, initial=len(archive), desc=recipe.name, disable=not main) as bar:
        evaluate_all(evaluator, first[: max(0, recipe.evaluations - len(archive))], 0, archive, bar)
        generation = max(0, archive.last_generation)
        while len(archive) < recipe.evaluations:
            generation += 1
            rng = random.Random(f"{recipe.seed}/{generation}/{len(archive)}")
            parents = [r.arch for r in select(list(archive.records.values()), recipe.population)]
            wanted = min(recipe.children, recipe.evaluations - len(archive))
            new = list(
                children(parents, space, rng, wanted, archive.__contains__, cross=recipe.cross, fusion=recipe.fusion,
                         depth=recipe.depth, last=recipe.last, sizes=recipe.sizes)
            )  # fmt: skip
            if not new:
                break
            evaluate_all(evaluator, new, generation, archive, bar)
    if main:
        records = list(archive.records.values())
        plot(records, folder / "pareto.png", evaluator.figure)
        (folder / "pareto.txt").write_text(table(records, evaluator.figure) + "\n")
    return folder
