"""Trainings and a search that are killed at random moments and go on, against unbroken ones: used by tests.faults.

The processes are forked from one that has imported everything, as importing takes far longer than the runs.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import load_file

from scalenet.archs.arch import SearchSpace
from search.__main__ import main as search_main
from search.archive import Archive
from training.__main__ import main as training_main
from training.engine import Run
from training.overrides import override
from training.recipes import RECIPES

from .full_disk import small_supernet
from .killed_run import PACED, paced
from .small_data import camvid_form
from .small_pose import coco_form, person
from .small_training import tiny_recipe
from .training.test_resume import parts, same

STEPS, EVALUATIONS = 6, 10
SEARCH = (
    "initial_population=4", "population=2", "offspring=3", f"evaluations={EVALUATIONS}", "calibration=1", "limit=1",
)  # fmt: skip
SMALL = {"stem_width": 8, "stage1_width": 8, "modules": (1, 1, 1), "depths": (1, 1)}
SPACE, POSE_SPACE = SearchSpace("segmentation", 8, (64, 80), **SMALL), SearchSpace("pose", 8, (64, 48), **SMALL)
PACE = 0.03  # seconds that a search waits after a record, so that a kill comes after any number of them


@dataclasses.dataclass(frozen=True)
class Killed:
    """A run that is killed: "segmentation" and "pose" are trainings, the other kind is "search"."""

    kind: str
    changes: tuple[str, ...] = ()


RUNS = {
    "workers-0": Killed("segmentation", ("workers=0",)),
    "workers-2": Killed("segmentation", ("workers=2",)),
    "no-early": Killed("segmentation", ("workers=2", "early=0", "sizes=")),
    "distillation": Killed("segmentation", ("teacher=SUPERNET", "distill=0.5", "workers=0")),
    "pose": Killed("pose", ("workers=0",)),
    "search": Killed("search"),
}


def make_given(folder: Path) -> Path:
    """The data that the runs read."""
    camvid_form(folder / "camvid", train=4, val=1)
    people = [[person(60 + 10 * i, 90)] for i in range(4)]
    for split in ("train2017", "val2017"):
        coco_form(folder / "coco", people, split=split)
    small_supernet(folder / "supernet.safetensors", SPACE)
    return folder


def run(killed: Killed, given: Path, out: Path) -> None:
    """What a process does; what it says is in a file beside ``out``."""
    said = os.open(out.with_suffix(".txt"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    torch.set_num_threads(1)
    if killed.kind == "search":
        RECIPES["s0_supernet"] = tiny_recipe(given / "camvid", out).changed(space=SPACE)
        add = Archive.add
        with mock.patch.object(Archive, "add", lambda archive, record: (add(archive, record), time.sleep(PACE))):
            words = ["run", "s0", f"supernet={given / 'supernet.safetensors'}", f"out={out}", *SEARCH]
            sys.exit(search_main(words))
    recipe = tiny_recipe(given / "camvid", out).changed(space=SPACE, size=(32, 32))
    if killed.kind == "pose":
        recipe = RECIPES["coco_w32_256x192"].changed(
            root=str(given / "coco"), space=POSE_SPACE, classes=3, batch=2, size=(64, 48),
            early_size=(64, 48), init="", teacher="", out=str(out), device="cpu", minutes=0.0, warmup=1,
        )  # fmt: skip
    own = [] if killed.kind == "pose" else [*PACED, "sizes=32x32"]
    changes = [text.replace("SUPERNET", str(given / "supernet.safetensors")) for text in killed.changes]
    RECIPES["tiny"] = override(recipe, [*own, f"steps={STEPS}", "save_minutes=0", *changes])
    Run.step = paced(Run.step)
    sys.exit(training_main(["run", "tiny"]))


class Killer:
    """Runs a kind of run, whole and broken.

    Args:
        killed: the kind.
        given: what :func:`make_given` made.
        place: an empty folder.
        rng: of the moments.
    """

    def __init__(self, killed: Killed, given: Path, place: Path, rng: random.Random) -> None:
        self.killed, self.given, self.place, self.rng = killed, given, place, rng
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([__name__])
        self.kills = self.writing = self.runs = 0

    def start(self, out: Path) -> BaseProcess:
        process = self.context.Process(target=run, args=(self.killed, self.given, out))
        process.start()
        return process

    def ended(self, process: BaseProcess, out: Path) -> bool:
        """Whether a process came to its end by itself, which then was a good one."""
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return False
        assert process.exitcode == 0, out.with_suffix(".txt").read_text()[-1500:]
        return True

    def check(self, kills: int) -> str:
        """Kill so many times, let every run that was killed end in the end, and compare it with the unbroken one.

        Raises:
            AssertionError: if one is not equal, or leaves a temporary file.
        """
        whole = self.place / "whole"
        self.ended(self.start(self.place / "first"), self.place / "first")  # the first waits for the imports
        began = time.monotonic()
        self.ended(self.start(whole), whole)
        seconds = time.monotonic() - began
        while self.kills < kills:
            out, before = self.place / f"broken{self.runs}", self.kills
            while self._killed_once(out, seconds):
                pass
            assert self._equal(whole, out), f"run {self.runs} is not the unbroken one after {self.kills - before} kills"
            left = temporaries(out)
            assert not left, f"{left} stay after run {self.runs}"
            self.runs += self.kills > before
        return f"{self.kills} kills, {self.writing} of them within a write, {self.runs} runs equal to the unbroken one"

    def _killed_once(self, out: Path, seconds: float) -> bool:
        process, before = self.start(out), temporaries(out)
        process.join(self.rng.uniform(0, 0.7 * seconds))
        if process.exitcode is None:
            process.kill()
        if self.ended(process, out):
            return False
        self.kills += 1
        if self.killed.kind == "search":
            self.writing += self._cut(out / "archive.jsonl")
        else:
            self.writing += bool(temporaries(out) - before)
        return True

    def _cut(self, archive: Path) -> bool:
        """Leave a part of the last line half of the time: the write is too short to be hit by chance."""
        lines = archive.read_bytes().splitlines(True) if archive.exists() else []
        if not lines or self.rng.random() < 0.5:
            return False
        os.truncate(archive, archive.stat().st_size - self.rng.randrange(1, len(lines[-1])))
        return True

    def _equal(self, *folders: Path) -> bool:
        if self.killed.kind == "search":
            found = [Archive(folder / "archive.jsonl").records.values() for folder in folders]
            one, other = ({(r.key, r.score, r.generation) for r in records} for records in found)
            return len(one) == EVALUATIONS and one == other
        one, other = (parts(torch.load(f / "checkpoint.pt", weights_only=True)) for f in folders)
        return (
            one["step"] == STEPS and same(one, other) and same(*(load_file(f / "final.safetensors") for f in folders))
        )


def temporaries(folder: Path) -> set[Path]:
    """Half-written files under names of their own."""
    return set(folder.glob(".*.tmp*"))
