"""What faults do to runs, files and the app: ``python -m tests.faults [--kills N] [--only CASE …] [--help]``.

A line a case: trainings and a search that are killed (SIGKILL at random moments, in writes too) and go on, against
unbroken ones; mutated configs and archives; full disks; visitors of the app who cut off what they send. Exit status 1
if anything falls short.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import timm

import scalenet
from scalenet import cli
from search.__main__ import main as search_main
from search.archive import Archive, Record

from .full_disk import Places, check, file_limit, filled
from .kills import RUNS, Killer, make_given
from .models.test_configs import DOCUMENTED
from .small_networks import small_network
from .small_training import SPACE
from .visitors import visitors

OTHERS = ("configs", "archives", "full-disk", "visitors")
OURS = Path(scalenet.__file__).parent
VALUES = (None, True, -1, 10**30, 1.5, "abc", [], [1, "a"], {"a": [1]}, float("nan"))


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


def opened(door: Callable[[], object], text: str) -> str:
    """How a door takes a config: "works", "refused" in one line, or "timm" where timm fails before it asks us.

    Raises:
        AssertionError: if it ends in any other way.
    """
    try:
        door()
    except DOCUMENTED as e:
        assert "\n" not in str(e), text
        return "refused"
    except Exception as e:
        if not any(Path(frame.filename).is_relative_to(OURS) for frame in traceback.extract_tb(e.__traceback__)):
            return "timm"
        raise AssertionError(f"{text}: {type(e).__name__} {e}") from e
    return "works"


def configs(folder: Path, count: int, rng: random.Random) -> str:
    """Mutated configs of a saved network through ``scalenet info``, ``Segmenter`` and the ``create_model`` of both."""
    saved = scalenet.save_pretrained(small_network(depths=(1, 1)), folder / "net")
    whole, ends, timms = json.loads((saved / "config.json").read_text()), Counter(), Counter()
    for _ in range(count):
        text, name = json.dumps(mutated(whole, rng)), f"local-dir:{saved}"
        (saved / "config.json").write_text(text)
        one_line(cli.main, "info", name)
        ends[opened(partial(scalenet.Segmenter, name, device="cpu"), text)] += 1
        opened(partial(scalenet.create_model, name, pretrained=True), text)
        timms[opened(partial(timm.create_model, name, pretrained=True), text)] += 1
    return (
        f"{count} configs, {ends['works']} work as a predictor and {ends['refused']} are refused in a line; by timm "
        f"{timms['works']} work, {timms['refused']} are refused, {timms['timm']} fail in timm before it asks us"
    )


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
        with mock.patch("search.report.plot_front", return_value=folder):  # what is drawn is no matter here
            one_line(search_main, "report", path)
    return f"{count} archives, {refused} refused in a line"


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[bool]:
    """An empty tmpfs on a folder in a ``with`` block; False where none may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder]
    yes = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield yes
    finally:
        if yes:
            busy = subprocess.run(["umount", folder], capture_output=True, text=True)
            if busy.returncode:  # something keeps a file open, and its room taken
                subprocess.run(["umount", "-l", folder], check=True)
                raise AssertionError(busy.stderr)


def disks(place: Path) -> str:
    """Everything that writes, on a small tmpfs where one may be mounted, else under a limit of file sizes."""
    ways = set()
    for name in Places.NAMES:
        given, out = place / "given" / name, place / "out" / name
        out.mkdir(parents=True)
        with mounted(out, 40 if name == "checkpoint" else 3) as yes:  # a tiny run's checkpoint has 10 MB
            check(getattr(Places(given, out), name)(), filled if yes else file_limit, out)
        ways.add("a tmpfs of 3 MB (the checkpoint's: 40)" if yes else "a limit of file sizes")
    return f"{len(Places.NAMES)} places, {' or '.join(ways)}, a line each"


def main() -> int:
    """Returns 1 if anything falls short."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="What faults do to runs and files.")
    parser.add_argument("--kills", type=int, default=30, help="of each training and of the search (default: 30)")
    parser.add_argument("--configs", type=int, default=400)
    parser.add_argument("--archives", type=int, default=400)
    parser.add_argument("--seconds", type=int, default=60, help="how long visitors come (default: 60)")
    parser.add_argument("--only", nargs="+", metavar="CASE", help=f"of {', '.join((*RUNS, *OTHERS))} (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    args, wrong = parser.parse_args(), 0
    unknown = set(args.only or ()) - {*RUNS, *OTHERS}
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or (*RUNS, *OTHERS):
            place, began = Path(folder) / name, time.monotonic()
            place.mkdir()
            try:
                said = tried(name, place, args)
            except Exception as e:
                said, wrong = f"FELL SHORT: {type(e).__name__} {str(e)[-600:]}", 1
            print(f"{name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
            shutil.rmtree(place)
    return wrong


def tried(name: str, place: Path, args: argparse.Namespace) -> str:
    """What a case comes to."""
    rng = random.Random(f"{args.seed} {name}")
    if name in RUNS:
        return Killer(RUNS[name], make_given(place / "given"), place, rng).check(args.kills)
    cases: dict[str, Callable[[], str]] = {
        "configs": lambda: configs(place, args.configs, rng),
        "archives": lambda: archives(place, args.archives, rng),
        "full-disk": lambda: disks(place),
        "visitors": lambda: visitors(place, args.seconds, rng),
    }
    return cases[name]()


if __name__ == "__main__":
    sys.exit(main())
