"""Evolution over architectures (ScaleNAS section 3.4), with depth mutation; pure values and an explicit random source.

Objectives are costs (multiply-adds, parameters, latency: less is better) and the score. No network is touched here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from scalenet.archs.arch import Arch, ModuleArch, SearchSpace

from .archive import key_of

START_FUSIONS = (0.2, 0.35, 0.5, 0.65, 0.8)
MAX_TRIES = 50  # children that are all known already: stop asking


Costs = Sequence[str]


class Scored(Protocol):
    """What selection looks at."""

    @property
    def macs(self) -> int:
        """Multiply-adds, of which less is better."""

    @property
    def score(self) -> float:
        """The metric, of which more is better."""


Candidate = TypeVar("Candidate", bound=Scored)


def start_groups(space: SearchSpace) -> list[tuple[float, tuple[int, int]]]:
    """Fusion shares x neighbouring depth ranges that the start set is spread over."""
    low, high = space.depths
    return [(f, (d, d + 1)) for f in START_FUSIONS for d in range(low, high)] or [
        (f, space.depths) for f in START_FUSIONS
    ]


Sizes = Sequence[tuple[int, int]]


def initial_population(space: SearchSpace, rng: random.Random, count: int, sizes: Sizes = ()) -> list[Arch]:
    """``count`` different sub-networks, dealt over the groups; fewer where the space holds fewer.

    Args:
        sizes: (H, W) input sizes that they are dealt over too; default the space's own.
    """
    found: dict[str, Arch] = {}
    groups, tries = start_groups(space), 0
    while len(found) < count and tries < MAX_TRIES * count:
        fusion, depths = groups[tries % len(groups)]
        arch = space.sample(rng, depths, fusion)
        if sizes:
            arch = arch.replace(input_size=sizes[tries // len(groups) % len(sizes)])
        found.setdefault(key_of(arch), arch)
        tries += 1
    return list(found.values())


def with_last_of(arch: Arch, other: Arch) -> Arch:
    """``arch`` with the last module of ``other``."""
    *before, last = arch.stages
    return arch.replace(stages=(*before, (*last[:-1], other.stages[-1][-1])))


def crossover(a: Arch, b: Arch, rng: random.Random, probability: float = 0.25) -> Arch:
    """``a`` with each module taken from ``b`` with ``probability``."""
    stages = tuple(
        tuple(theirs if rng.random() < probability else mine for mine, theirs in zip(x, y, strict=True))
        for x, y in zip(a.stages, b.stages, strict=True)
    )
    return a.replace(stages=stages, name="")


def mutate(arch: Arch, space: SearchSpace, rng: random.Random, fusion: float = 0.2, depth: float = 0.1) -> Arch:
    """Each branch's depth is drawn anew with probability ``depth``, each fusion bit below it flips with ``fusion``."""
    stages = tuple(tuple(_mutate_module(m, space, rng, fusion, depth) for m in modules) for modules in arch.stages)
    return space.settle(arch.replace(stages=stages, name=""))


def _mutate_module(
    module: ModuleArch, space: SearchSpace, rng: random.Random, fusion: float, depth: float
) -> ModuleArch:
    n = len(module.depths)
    depths = tuple(rng.randint(*space.depths) if rng.random() < depth else d for d in module.depths)
    fusions = tuple(
        tuple(
            tuple(k for k in range(n) if k != j and (k in module.sources(j, d)) != (rng.random() < fusion))
            for d in range(depths[j])
        )
        for j in range(n)
    )
    return ModuleArch(depths, fusions)


def objectives(records: Sequence[Scored], costs: Costs = ("macs",)) -> np.ndarray:
    """(N, objectives): the costs, then the score with its sign turned; less is better in all of them."""
    return np.array([[*(getattr(r, cost) for cost in costs), -r.score] for r in records], float)


def pareto_front(records: Sequence[Candidate], costs: Costs = ("macs",)) -> list[Candidate]:
    """Records that no other beats in all objectives (of equal ones the first), cheapest first."""
    if not records:
        return []
    values = objectives(records, costs)
    kept: list[int] = []
    for i in np.lexsort(values.T[::-1]):  # whatever beats one comes before it
        if not (values[kept] <= values[i]).all(1).any():
            kept.append(i)
    return [records[i] for i in kept]


def crowding(values: np.ndarray) -> np.ndarray:
    """(N,) how far the neighbours of each of a front's (N, objectives) are from each other (Deb's NSGA-II).

    The sum over the objectives of the distance between the next better and the next worse, in shares of the front's
    extent; infinite for its ends.
    """
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        distance[order[[0, -1]]] = np.inf
        extent = column[order[-1]] - column[order[0]]
        if extent > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return distance


def select_parents(
    records: Sequence[Candidate], count: int, costs: Costs = ("macs",), ranking: str = "peel"
) -> list[Candidate]:
    """The best ``count``: whole Pareto fronts are peeled off, and the last one is thinned.

    Args:
        ranking: "peel", the paper's, thins evenly along the front; "nsga2" keeps what is least crowded, and gives each
            front in that order.
    """
    rest = list(records)
    chosen: list[Candidate] = []
    while rest and len(chosen) < count:
        front = pareto_front(rest, costs)
        taken = {id(r) for r in front}
        rest = [r for r in rest if id(r) not in taken]
        room = count - len(chosen)
        if ranking == "nsga2":
            order = np.argsort(-crowding(objectives(front, costs)), kind="stable")
            front = [front[i] for i in order[:room]]
        elif len(front) > room:
            front = [front[round(i * (len(front) - 1) / max(1, room - 1))] for i in range(room)]
        chosen += front
    return chosen


def offspring(
    parents: Sequence[Arch],
    space: SearchSpace,
    rng: random.Random,
    count: int,
    known: Callable[[Arch], bool],
    *,
    cross: float = 0.25,
    fusion: float = 0.2,
    depth: float = 0.1,
    last: bool = True,
    sizes: Sizes = (),
    size: float = 0.2,
    tournament: bool = False,
) -> Iterator[Arch]:
    """Up to ``count`` new architectures; ``known(arch)`` says which have been seen. Retries are bounded.

    Without ``last`` a child keeps the last module of its first parent. Its input size is its first parent's, or with
    probability ``size`` one of ``sizes``. In a ``tournament`` a parent is the better one of two that are drawn; then
    ``parents`` come best first.
    """
    draws = 2 if tournament else 1
    made: set[str] = set()
    for _ in range(MAX_TRIES * count):
        if len(made) == count:
            return
        a, b = (parents[min(rng.randrange(len(parents)) for _ in range(draws))] for _ in "ab")
        child = mutate(crossover(a, b, rng, cross), space, rng, fusion, depth)
        child = child if last else with_last_of(child, a)
        if sizes and rng.random() < size:
            child = child.replace(input_size=rng.choice(sizes))
        if key_of(child) not in made and not known(child):
            made.add(key_of(child))
            yield child
