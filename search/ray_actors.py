"""A generation scored by Ray's actors, here or on a cluster; each holds the supernet, and scores one after another."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from scalenet.archs.arch import Arch
from scalenet.ray import import_ray, start_ray
from scalenet.runtime.errors import one_line
from training import distributed
from training.checks import RecipeError, TrainingError

from .archive import Record, key_of
from .evaluator import Evaluator, EvaluatorPlan, Supernet, read_supernet

MOST_DEATHS = 3  # of actors at one architecture: then it is not the machines
LOOK_EVERY = 1.0  # seconds between looks at whether the search is to stop


@dataclass(frozen=True)
class Pool:
    """The actors: at which cluster, how many (0: as many as it has room for), and what each of them takes.

    Args:
        address: as for :func:`scalenet.ray.start_ray`.
        cpus: processor cores, which are also its threads.
        gpus: 0 scores on processors; a half puts two actors on a GPU.

    Raises:
        RecipeError: for GPUs that an actor cannot have.
    """

    address: str = ""
    actors: int = 0
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if not self.gpus >= 0 or (self.gpus > 1 and self.gpus % 1):
            raise RecipeError(f"an actor has 0, a part of 1, or a number of whole GPUs, got {self.gpus:g}")


class Scorer:
    """What an actor is: an evaluator of its own, with the weights of Ray's object store."""

    def __init__(self, plan: EvaluatorPlan, supernet: Supernet, folder: str, threads: int) -> None:
        os.chdir(folder)  # where relative paths of the recipe begin
        torch.set_num_threads(threads)
        self.evaluator = Evaluator(plan, join=False, supernet=supernet)

    def score(self, arch: str, generation: int) -> str:
        """An archive line for an architecture's JSON."""
        return self.evaluator.score(Arch.from_json(arch), generation).to_json()


class RayActors:
    """An executor (:class:`~search.executors.Executor`) whose actors live while its ``with`` block lasts.

    The architecture of an actor that died is scored again by a new one.

    Args:
        evaluator: whose plan and weights the actors get.
        stop: whether the search is asked to end.

    Raises:
        ConnectionError: if no cluster answers.
        RecipeError: if the cluster has no room for the actors, ``torchrun`` started several of this process, or latency
            is to be measured.
    """

    def __init__(self, evaluator: Evaluator, stop: Callable[[], bool], pool: Pool) -> None:
        if distributed.world_size() > 1:
            raise RecipeError("--executor ray is for one process, which Ray's actors score for: leave out torchrun")
        if evaluator.plan.timing is not None:
            raise RecipeError("latency is measured by one process on one machine: leave out --executor ray")
        self.plan, self.stop, self.pool = evaluator.plan, stop, pool
        self._ray, self._deaths = import_ray(), Counter[str]()
        self.actors: list[Any] = []

    def __enter__(self) -> RayActors:
        self._started = start_ray(self.pool.address)
        try:
            count = self._room()
            kept = self._ray.put(read_supernet(self.plan.supernet).as_arrays())
            self._class = self._ray.remote(num_cpus=self.pool.cpus, num_gpus=self.pool.gpus)(Scorer)
            self._arguments = (self.plan, kept, str(Path.cwd()), self.pool.cpus)
            self.actors = [self._new() for _ in range(count)]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for actor in self.actors:
            self._ray.kill(actor)
        self.actors = []
        if self._started:
            self._ray.shutdown()

    def _room(self) -> int:
        """How many actors to make."""
        pool, there = self.pool, self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // pool.cpus)
        if pool.gpus:
            room = min(room, int(there.get("GPU", 0) / pool.gpus))
        if room < max(1, pool.actors):
            raise RecipeError(
                f"the Ray cluster has {there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs, room for {room} "
                f"actors of {pool.cpus} and {pool.gpus:g}: ask for fewer (--actors) or smaller ones"
            )
        return pool.actors or room

    def _new(self) -> Any:
        return self._class.remote(*self._arguments)

    def map(self, archs: Sequence[Arch], generation: int) -> Iterator[Record]:
        """See :class:`~search.executors.Executor`; records come as they are known."""
        waiting, free = deque(archs), list(self.actors)
        running: dict[Any, tuple[Any, Arch]] = {}
        while waiting or running:
            if self.stop():
                waiting.clear()
            while waiting and free:
                actor, arch = free.pop(), waiting.popleft()
                running[actor.score.remote(arch.to_json(), generation)] = actor, arch
            done, _ = self._ray.wait([*running], num_returns=1, timeout=LOOK_EVERY) if running else ([], [])
            for reference in done:
                actor, arch = running.pop(reference)
                try:
                    line = self._ray.get(reference)
                except self._ray.exceptions.RayTaskError as e:
                    raise e.cause from None  # as if it had happened here
                except self._ray.exceptions.RayActorError as e:
                    free.append(self._replaced(actor, arch, e))
                    waiting.appendleft(arch)
                else:
                    free.append(actor)
                    yield Record.from_json(line)

    def _replaced(self, dead: Any, arch: Arch, error: Exception) -> Any:
        """An actor in the place of one that died.

        Raises:
            TrainingError: if it was not the first to die of this architecture.
        """
        key = key_of(arch)
        self._deaths[key] += 1
        if self._deaths[key] == MOST_DEATHS:
            why = one_line(RuntimeError(str(error).strip().splitlines()[-1]))
            raise TrainingError(f"{MOST_DEATHS} actors died one after the other of {arch.digest}: {why}")
        self.actors[self.actors.index(dead)] = new = self._new()
        return new
