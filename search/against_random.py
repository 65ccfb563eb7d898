"""Evolution against random search at equal evaluations: ``python -m search.against_random ARCHIVE [--help]``.

Scores are a surrogate's: a ridge regression of an archive's scores on the depth and the fusion share of every
resolution, so that a search takes seconds and many seeds can be tried. What is compared is the way of searching, not
networks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scalenet.archs.arch import Arch, SearchSpace
from scalenet.archs.cost import count
from scalenet.runtime.command_line import positive
from training.recipes import get_recipe as get_training_recipe

from .archive import Archive, ArchiveError, Record
from .recipes import SearchRecipe, get_recipe
from .report_page import hypervolume
from .run import generations

STRENGTH = 1.0  # of the regression's penalty, in standardised features
LEAST = 10  # records that a surrogate is made of
Score = Callable[[Arch], float]


def features(arch: Arch) -> np.ndarray:
    """(8,) mean depth, then mean share of the possible fusions, of each of the four resolutions."""
    depths: list[list[float]] = [[] for _ in range(4)]
    shares: list[list[float]] = [[] for _ in range(4)]
    for _, _, module in arch.modules():
        for branch, (depth, rows) in enumerate(zip(module.depths, module.fusions, strict=True)):
            depths[branch].append(depth)
            room = depth * (len(module.depths) - 1)
            shares[branch].append(sum(map(len, rows)) / room if room else 0.0)
    return np.array([np.mean(values) if values else 0.0 for values in (*depths, *shares)])


def surrogate(records: Sequence[Record]) -> tuple[Score, float]:
    """What scores architectures as the records' regression says, and the correlation of it with them, one left out.

    Raises:
        ArchiveError: if there are too few records.
    """
    if len(records) < LEAST:
        raise ArchiveError(f"a surrogate needs at least {LEAST} records, the archive has {len(records)}")
    x, y = np.array([features(r.arch) for r in records]), np.array([r.score for r in records])
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-9)
    z = (x - mean) / spread

    def fitted(rows: np.ndarray) -> tuple[np.ndarray, float]:
        offset = y[rows].mean()
        gram = z[rows].T @ z[rows] + STRENGTH * np.eye(z.shape[1])
        return np.linalg.solve(gram, z[rows].T @ (y[rows] - offset)), offset

    others = ~np.eye(len(y), dtype=bool)
    said = [z[i] @ weights + offset for i, rows in enumerate(others) for weights, offset in [fitted(rows)]]
    weights, offset = fitted(np.ones(len(y), bool))
    return lambda arch: float((features(arch) - mean) / spread @ weights + offset), float(np.corrcoef(said, y)[0, 1])


def searched(recipe: SearchRecipe, space: SearchSpace, outputs: int, score: Score) -> list[Record]:
    """The records of a search whose scores are a function's; nothing is written."""
    archive = Archive(Path())  # a folder: nothing to read
    for generation, archs in generations(recipe, space, archive):
        for arch in archs:
            spent = count(arch, arch.input_size, task=space.task, outputs=outputs)
            record = Record(arch, score(arch), spent.macs, spent.params, generation, 0.0)
            archive.records[record.key] = record
    return list(archive.records.values())


def evolution_and_random(recipe: SearchRecipe, score: Score, seeds: int) -> dict[str, np.ndarray]:
    """(seeds,) hypervolumes of evolution and of random search (a start set alone), up to the largest network."""
    training = get_training_recipe(recipe.recipe)
    space, outputs = training.space, training.classes
    most = count(space.largest(), space.input_size, task=space.task, outputs=outputs).macs
    ways = {"evolution": recipe, "random": replace(recipe, initial_population=recipe.evaluations)}
    return {
        name: np.array([hypervolume(searched(replace(way, seed=s), space, outputs, score), most) for s in range(seeds)])
        for name, way in ways.items()
    }


def _main(argv: list[str] | None = None) -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(prog="python -m search.against_random", description=__doc__)
    parser.add_argument("archive", help="records of one supernet, of which the surrogate is made")
    parser.add_argument("--recipe", default="s0", help="search recipe (default: %(default)s)")
    parser.add_argument("--evaluations", type=positive, default=64, help="default: %(default)s")
    parser.add_argument("--seeds", type=positive, default=5, help="default: %(default)s")
    args = parser.parse_args(argv)
    if not Path(args.archive).is_file():
        parser.error(f"no archive {args.archive}")
    part = max(1, args.evaluations // 4)
    recipe = replace(
        get_recipe(args.recipe), evaluations=args.evaluations, initial_population=part, population=part, offspring=part
    )
    try:
        score, correlation = surrogate(list(Archive(args.archive).records.values()))
    except (ArchiveError, ValueError) as e:
        parser.error(str(e))
    print(f"surrogate: correlation {correlation:.2f} with the record left out")
    for name, volumes in evolution_and_random(recipe, score, args.seeds).items():
        spread = volumes.std(ddof=1) if len(volumes) > 1 else 0.0
        print(f"{name:10} hypervolume {volumes.mean():.4f} +- {spread:.4f} over {len(volumes)} seeds")


if __name__ == "__main__":
    _main()
