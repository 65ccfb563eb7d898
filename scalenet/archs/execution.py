"""What must run of a network so that the branches asked for come out right; what nothing reads is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .arch import Arch, ModuleArch

Fusions = tuple[tuple[int, tuple[int, ...]], ...]
Step = tuple[tuple[int, ...], Fusions]  # branches whose block runs, (target, sources) of the fusion after it
Steps = tuple[Step, ...]


class Plan(NamedTuple):
    """Steps of every module of stages 2, 3 and 4 in running order, and the stages whose new branch is read."""

    stages: tuple[tuple[Steps, ...], ...]
    begun: frozenset[int]


def plan_module(module: ModuleArch, live: frozenset[int]) -> tuple[Steps, frozenset[int]]:
    """The steps after which the ``live`` branches are right, and which inputs they need."""
    steps: list[Step] = []
    for d in reversed(range(module.steps)):
        fusions = tuple((j, module.sources(j, d)) for j in sorted(live) if module.sources(j, d))
        live = live.union(*(sources for _, sources in fusions))
        blocks = tuple(j for j in sorted(live) if d < module.depths[j])
        steps.append((blocks, fusions))
    return tuple(reversed(steps)), live


def plan_network(arch: Arch, outputs: Iterable[int]) -> Plan:
    """The plan for some of the four ``outputs``, found backwards."""
    stages: list[tuple[Steps, ...]] = []
    begun: set[int] = set()
    live = frozenset(outputs)
    for stage, modules in zip((4, 3, 2), reversed(arch.stages), strict=True):
        plans: list[Steps] = []
        for module in reversed(modules):
            steps, live = plan_module(module, live)
            plans.append(steps)
        stages.append(tuple(reversed(plans)))
        if stage - 1 in live:
            begun.add(stage)
            live = (live - {stage - 1}) | {stage - 2}  # the new branch is made from the last one below
    return Plan(tuple(reversed(stages)), frozenset(begun))


@dataclass(frozen=True)
class Execution:
    """What runs of a network: an architecture and its execution plans.

    They are one value, so that no thread ever finds the plan of one architecture under another.
    """

    arch: Arch
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict)

    def plan(self, outputs: tuple[int, ...]) -> Plan:
        """The plan for some of the four ``outputs``, made once."""
        if outputs not in self.plans:
            self.plans[outputs] = plan_network(self.arch, outputs)
        return self.plans[outputs]
