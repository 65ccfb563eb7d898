"""Grouped sampling and the sandwich rule as a pure function of the step (ScaleNAS section 3.3).

One cycle visits the smallest network, the largest, and every group once: fusion shares x depth ranges. In the
published space (depths 2..5) that is 3 x 3 groups and 11 turns.
"""

from __future__ import annotations

import random

from scalenet.arch import Arch, SearchSpace

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


def arch_at(space: SearchSpace, step: int, seed: int = 0) -> Arch:
    """The sub-network of training step ``step``: the same on every rank and after every resume."""
    turn = step % cycle_length(space)
    rng = random.Random(f"{seed}/{step}")
    if turn == 0:
        return space.smallest(rng, SMALLEST_FUSION[space.task])
    if turn == 1:
        return space.largest()
    share, depths = groups(space)[turn - 2]
    return space.sample(rng, depths, share)
