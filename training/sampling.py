"""Grouped sampling and the sandwich rule as a pure function of the step (ScaleNAS section 3.3).

One cycle visits the smallest network, the largest, and every group once: fusion shares x depth ranges. In the
published space (depths 2..5) that is 3 x 3 groups and 11 turns.
"""

from __future__ import annotations

import random

from scalenet.archs.arch import Arch, SearchSpace

from .config import Recipe

FUSION_SHARES = (0.2, 0.5, 0.8)
SMALLEST_FUSION = {"segmentation": 0.1, "pose": 0.0}

Group = tuple[float, tuple[int, int]]


def groups(space: SearchSpace) -> list[Group]:
    """All (fusion share, depth range) cells; ranges are neighbouring depths, as in the paper."""
    low, high = space.depths
    ranges = [(d, d + 1) for d in range(low, high)] or [(low, high)]
    return [(share, pair) for share in FUSION_SHARES for pair in ranges]


def cycle_length(space: SearchSpace) -> int:
    """Turns until every group and both ends have been visited once."""
    return len(groups(space)) + 2


def arch_at(space: SearchSpace, step: int, seed: int = 0, largest_last: bool = False) -> Arch:
    """The sub-network of training step ``step``: the same on every rank and after every resume.

    Args:
        largest_last: the authors' order; else the largest comes second.
    """
    turn = step % cycle_length(space)
    rng = random.Random(f"{seed}/{step}")
    if turn == 0:
        return space.smallest(rng, SMALLEST_FUSION[space.task])
    if turn == (cycle_length(space) - 1 if largest_last else 1):
        return space.largest()
    share, depths = groups(space)[turn - (1 if largest_last else 2)]
    return space.sample(rng, depths, share)


def step_archs(recipe: Recipe, step: int) -> list[Arch]:
    """The sub-networks of a supernet's step: one (the paper's), or the sandwich's largest, smallest and sampled ones.

    A sandwich's largest comes first, so that it can teach the others; the sampled ones go through the groups in turn.
    """
    space = recipe.space
    seed, sandwich = recipe.run.seed, recipe.distillation.sandwich
    if not sandwich:
        return [arch_at(space, step, seed, recipe.distillation.largest_last)]
    cells = groups(space)
    turns = [step * sandwich + i for i in range(sandwich)]
    sampled = [turn // len(cells) * cycle_length(space) + 2 + turn % len(cells) for turn in turns]
    smallest = space.smallest(random.Random(f"{seed}/{step}"), SMALLEST_FUSION[space.task])
    return [space.largest(), smallest, *(arch_at(space, turn, seed) for turn in sampled)]
