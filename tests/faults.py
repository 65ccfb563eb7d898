"""What faults do, in figures: ``python -m tests.faults [--kills N] [--configs N] [--archives N] [--only CASE …]``.

A line a case: trainings and a search that are killed (SIGKILL at random moments, in writes too) and go on, against
unbroken ones; mutated configs and archives; full disks. Exit status 1 if anything falls short.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import scalenet
from scalenet import cli
from scalenet.arch import SearchSpace
from search.__main__ import main as search_main
from search.archive import Archive, Record
from training.engine import Run
from training.overrides import override
from training.recipes import RECIPES

from .full_disk import Places, check, file_limit, filled, small_supernet
from .killed_run import PACED, paced
from .models.test_configs import DOCUMENTED
from .small_data import camvid_form
from .small_networks import small_network
from .small_pose import coco_form, person
from .small_training import SPACE, TINY, tiny_recipe
from .training.test_resume import parts, same

ROOT = Path(__file__).parents[1]
VALUES = (None, True, -1, 10**30, 1.5, "abc", [], [1, "a"], {"a": [1]}, float("nan"))
SEARCH = ("initial_population=4", "population=2", "offspring=3", "evaluations=10", "calibration=1", "limit=1")
POSE_SPACE = SearchSpace("pose", 8, (64, 48), **TINY)


def worker(kind: str, given: Path, out: Path, changes: list[str]) -> int:
    """A process that is to be killed: a training, or a search; it prints a line for every step or record."""
    from training.__main__ import main

    torch.set_num_threads(1)
    if kind == "search":
        add = Archive.add
        with mock.patch.object(Archive, "add", lambda a, r: (add(a, r), print("step", flush=True))):
            RECIPES["s0_supernet"] = tiny_recipe(given / "camvid", out)
            return search_main(["run", "s0", f"supernet={given / 'supernet.safetensors'}", f"out={out}", *SEARCH])
    recipe = tiny_recipe(given / "camvid", out)
    if kind == "pose":
        recipe = RECIPES["coco_w32_256x192"].changed(
            root=str(given / "coco"), space=POSE_SPACE, classes=3, batch=2, size=(64, 48),
            early_size=(64, 48), init="", teacher="", out=str(out), device="cpu", minutes=0.0, warmup=1,
        )  # fmt: skip
    own = ["steps=12", "save_minutes=0"] if kind == "pose" else PACED
    RECIPES["tiny"] = override(recipe, [*own, *changes])
    Run.step = paced(Run.step)
    return main(["run", "tiny"])


def started(kind: str, given: Path, out: Path, changes: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults", "--worker", kind, str(given), str(out), *changes]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(kind: str, given: Path, out: Path, changes: list[str]) -> float:
    """Let a process end by itself; returns the seconds from its first step on."""
    process = started(kind, given, out, changes)
    process.stdout.readline()
    began = time.monotonic()
    _, err = process.communicate()
    assert process.returncode == 0, err[-2000:]
    return time.monotonic() - began


def killed(kind: str, given: Path, place: Path, changes: list[str], kills: int, rng: random.Random) -> str:
    """Kill a run so many times, let it finish, and compare it with an unbroken one."""
    whole, broken = place / "whole", place / "broken"
    seconds, done, alone = finished(kind, given, whole, changes), 0, 0
    while done < kills and alone < 3:
        process = started(kind, given, broken, changes)
        process.stdout.readline()
        time.sleep(rng.uniform(0, seconds / 2))
        done, alone = (done + 1, alone) if process.poll() is None else (done, alone + 1)
        process.kill()
        process.communicate()
    finished(kind, given, broken, changes)
    assert result(kind, whole, broken), f"not the unbroken one after {done} kills"
    return f"{done} kills, equal"


def result(kind: str, *folders: Path) -> bool:
    if kind == "search":
        found = [Archive(f / "archive.jsonl").records.values() for f in folders]
        one, other = ({(r.key, r.score, r.generation) for r in records} for records in found)
        return len(one) == 10 and one == other
    one, other = (parts(torch.load(f / "checkpoint.pt", weights_only=True)) for f in folders)
    return one["step"] == 12 and same(one, other)


def one_line(main: Callable[[list[str]], int], *words: object) -> None:
    """A command that works, or ends in one line and 2."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        status = main([str(word) for word in words])
    assert status == 0 or (status == 2 and err.getvalue().count("\n") == 1), (status, err.getvalue()[-500:])


def mutated(value: Any, rng: random.Random) -> Any:
    """The same JSON value, with another one, or nothing, somewhere in it."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    value = dict(value) if isinstance(value, dict) else list(value)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if rng.random() < 0.1:
        del value[key]
    else:
        value[key] = mutated(value[key], rng)
    return value


def configs(folder: Path, count: int, rng: random.Random) -> str:
    """Mutated configs of a saved network through ``scalenet info`` and ``Segmenter``."""
    saved = scalenet.save_pretrained(small_network(depths=(1, 1)), folder / "net")
    whole, refused = json.loads((saved / "config.json").read_text()), 0
    for _ in range(count):
        text = json.dumps(mutated(whole, rng))
        (saved / "config.json").write_text(text)
        one_line(cli.main, "info", f"local-dir:{saved}")
        try:
            scalenet.Segmenter(f"local-dir:{saved}", device="cpu")
        except DOCUMENTED as e:
            assert "\n" not in str(e), text
            refused += 1
        except Exception as e:
            raise AssertionError(f"{type(e).__name__} {e}: {text}") from e
    return f"{count} configs, {refused} refused in a line"


def archives(folder: Path, count: int, rng: random.Random) -> str:
    """Mutated archives through ``python -m search report``: values, bytes, cut lines."""
    archive, refused = Archive(folder / "whole.jsonl"), 0
    for _ in range(4):
        archive.add(Record(SPACE.sample(rng), rng.random(), rng.randrange(1, 9), 10, 0, 1.0))
    lines, path = archive.path.read_text().splitlines(), folder / "mutated.jsonl"
    for _ in range(count):
        changed = list(lines)
        at = rng.randrange(len(lines))
        changed[at] = json.dumps(mutated(json.loads(lines[at]), rng))
        data = bytearray(("\n".join(changed) + "\n").encode())
        if rng.random() < 0.3:
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
        try:
            Archive(path)
        except ValueError:
            refused += 1
        with mock.patch("search.report.plot", return_value=folder):  # what is drawn is no matter here
            one_line(search_main, "report", path)
    return f"{count} archives, {refused} refused in a line"


def disks(given: Path, out: Path) -> str:
    """Everything that writes, on a tmpfs of 40 MB where one may be mounted, else under a limit of file sizes."""
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", out], capture_output=True).returncode == 0
    )
    full = filled if mounted else file_limit
    try:
        for name in Places.NAMES:
            (out / name).mkdir()
            place = Places(given / name, out / name)
            check(getattr(place, name)(), full, out)
    finally:
        if mounted:
            subprocess.run(["umount", out], check=True)
    return f"{len(Places.NAMES)} places on a {'tmpfs of 40 MB' if mounted else 'file-size limit'}, a line each"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="What faults do to runs and files.")
    parser.add_argument("--kills", type=int, default=30, help="of each training and of the search (default: 30)")
    parser.add_argument("--configs", type=int, default=400)
    parser.add_argument("--archives", type=int, default=400)
    parser.add_argument("--only", nargs="+", metavar="CASE", help="workers-0, workers-2, distillation, pose, search …")
    parser.add_argument("--seed", type=int, default=0)
    args, wrong = parser.parse_args(), 0
    with tempfile.TemporaryDirectory() as folder:
        tried = cases(Path(folder), args)
        for name in args.only or tried:
            case = tried[name]
            (Path(folder) / name).mkdir()
            try:
                said = case(Path(folder) / name)
            except Exception as e:
                said, wrong = f"FELL SHORT: {type(e).__name__} {str(e)[-600:]}", 1
            print(f"{name}: {said}", flush=True)
    return wrong


def cases(folder: Path, args: argparse.Namespace) -> dict[str, Callable[[Path], str]]:
    """What is tried, by name."""
    given, rng = folder / "given", random.Random(args.seed)
    camvid_form(given / "camvid")
    people = [[person(60 + 10 * i, 90)] for i in range(4)]
    for split in ("train2017", "val2017"):
        coco_form(given / "coco", people, split=split)
    small_supernet(given / "supernet.safetensors")
    distilled = [f"teacher={given / 'supernet.safetensors'}", "distill=0.5", "workers=0"]
    runs = {
        "workers-0": ("segmentation", ["workers=0"]), "workers-2": ("segmentation", ["workers=2"]),
        "distillation": ("segmentation", distilled), "pose": ("pose", ["workers=0"]), "search": ("search", []),
    }  # fmt: skip
    tried: dict[str, Callable[[Path], str]] = {
        name: lambda place, kind=kind, changes=changes: killed(kind, given, place, changes, args.kills, rng)
        for name, (kind, changes) in (runs.items() if args.kills else ())
    }
    if args.configs:
        tried["configs"] = lambda place: configs(place, args.configs, rng)
    if args.archives:
        tried["archives"] = lambda place: archives(place, args.archives, rng)

    def full_disks(place: Path) -> str:
        (place / "given").mkdir()
        (place / "out").mkdir()
        return disks(place / "given", place / "out")

    return {**tried, "full-disk": full_disks}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        kind, given, out, *changes = sys.argv[2:]
        sys.exit(worker(kind, Path(given), Path(out), changes))
    sys.exit(main())
