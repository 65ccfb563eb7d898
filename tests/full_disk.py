"""A disk that is full, and everything that writes to it: used by test_full_disk.py and tests.faults."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import random
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import torch

from scalenet import cli, save_pretrained
from scalenet.archs.arch import SearchSpace
from scalenet.data.images import save_image
from scalenet.data.io import DiskFullError
from scalenet.data.labels import COCO, DATASETS, Labels
from scalenet.models.checkpoint import save_weights
from scalenet.nn.network import ScaleNet
from search import __main__ as searching
from search.archive import Archive, Record
from training import __main__ as training
from training.engine import Run
from training.recipes import RECIPES

from .small_data import camvid_form
from .small_networks import sample_image, small_network, write
from .small_training import SPACE, signalled_at, tiny_recipe
from .small_video import moving, write_clip

ROOM = 12_000  # bytes: less than any of the files
THREE = Labels("three", ("a", "b", "c"))


@contextlib.contextmanager
def file_limit(folder: Path) -> Iterator[None]:
    """No file of this process may grow beyond 12 kB; Python ignores the signal, so that writing fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """The file system of ``folder``, a small one, is full but for 12 kB."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - ROOM)
    try:
        yield
    finally:
        filler.unlink()


@dataclasses.dataclass(frozen=True)
class Place:
    """Something that writes: the file it writes, how, and what it writes at the same time."""

    target: Path
    act: Callable[[], object]
    beside: tuple[Path, ...] = ()


class Places:
    """All that writes; ``given`` holds what is read, ``out`` what is written."""

    NAMES = (
        "checkpoint", "pack", "convert", "save_pretrained", "segment", "pose", "video", "export", "archive", "deploy",
    )  # fmt: skip

    def __init__(self, given: Path, out: Path) -> None:
        self.given, self.out = given, out
        self.data = camvid_form(given / "data")
        self.photo, self.clip = given / "photo.png", given / "clip.mp4"
        save_image(self.photo, sample_image(240, 320))
        write_clip(self.clip, moving(24, (240, 320)))
        self.net = small_network(depths=(1, 1))
        self.weights = write(self.net, given / "net.safetensors")

    def command(self, main: Callable[[list[str]], int], *words: object) -> Callable[[], int]:
        recipes = {
            "tiny": tiny_recipe(self.data, self.out / "run"), "s0_supernet": tiny_recipe(self.data, self.out / "none"),
        }  # fmt: skip

        def act() -> int:
            with mock.patch.dict(RECIPES, recipes), mock.patch.dict(DATASETS, {"camvid": THREE}):
                return main([str(word) for word in words])

        return act

    def checkpoint(self) -> Place:
        with contextlib.suppress(KeyboardInterrupt):
            signalled_at(Run(tiny_recipe(self.data, self.out / "run")), 1, signal.SIGINT).run()
        return Place(self.out / "run" / "checkpoint.pt", self.command(training.main, "run", "tiny"))

    def pack(self) -> Place:
        final, packed = Run(tiny_recipe(self.data, self.given / "whole")).run(), self.out / "packed.safetensors"
        return Place(packed, self.command(training.main, "pack", final, "-o", packed))

    def convert(self) -> Place:
        torch.save(self.net.state_dict(), self.given / "net.pth")
        (self.given / "net.json").write_text(self.net.arch.to_json())
        out = self.out / "converted.safetensors"
        words = ["convert", self.given / "net.pth", "--arch", self.given / "net.json", "-o", out]
        return Place(out, self.command(cli.main, *words))

    def save_pretrained(self) -> Place:
        return Place(self.out / "model.safetensors", lambda: save_pretrained(self.net, self.out))

    def segment(self) -> Place:
        words = ["segment", self.photo, "-m", self.weights, "-o", self.out, "--overwrite"]
        return Place(self.out / "photo_overlay.png", self.command(cli.main, *words))

    def pose(self) -> Place:
        network = write(small_network("pose", COCO, (64, 48), (1, 1)), self.given / "pose.safetensors")
        words = ["pose", self.photo, "-m", network, "--detector", "none", "-o", self.out, "--overwrite"]
        return Place(self.out / "photo_pose.png", self.command(cli.main, *words))

    def video(self) -> Place:
        out = self.out / "clip.mp4"
        act = self.command(cli.main, "segment", self.clip, "-m", self.weights, "-o", out, "--overwrite")
        return Place(out, act, (out.with_suffix(".jsonl"),))

    def export(self) -> Place:
        out = self.out / "net.pt2"
        return Place(out, self.command(cli.main, "export", self.weights, "--format", "pt2", "-o", out))

    def archive(self) -> Place:
        archive, rng = Archive(self.out / "archive.jsonl"), random.Random(0)

        def act() -> None:
            for _ in range(50):
                archive.add(Record(SPACE.sample(rng), 0.5, 1, 1, 0, 1.0))

        return Place(archive.path, act)

    def deploy(self) -> Place:
        supernet, archive = small_supernet(self.given / "supernet.safetensors"), Archive(self.given / "a.jsonl")
        archive.add(Record(SPACE.largest(), 0.5, 1, 1, 0, 1.0))
        words = ["deploy", "s0", archive.path, f"supernet={supernet}", "calibration=1", "--dataset", "camvid"]
        act = self.command(searching.main, *words, "--name", "net", "-o", self.out)
        return Place(self.out / "net.safetensors", act)


def small_supernet(path: Path, space: SearchSpace = SPACE) -> Path:
    """A random supernet, as training writes it."""
    net = ScaleNet(space.supernet(), num_classes=3)
    return save_weights(path, net.state_dict(), {"space": json.dumps(dataclasses.asdict(space)), "recipe": "tiny"})


def failing(act: Callable[[], object]) -> str:
    """What is said when an act fails for want of room: a library's error, or all that a command prints on stderr.

    Raises:
        AssertionError: if it does not fail, or not by the documented error or exit status.
    """
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            status = act()
    except DiskFullError as e:
        return f"{e.strerror}: {e.filename}\n"
    assert status == 2, f"status {status}: {stderr.getvalue()}"
    return "".join(line for line in stderr.getvalue().splitlines(True) if "rror" in line or "Trace" in line)


def check(place: Place, full: Callable[[Path], contextlib.AbstractContextManager[None]], folder: Path) -> str:
    """Let a place write where there is no room; returns the one line that is said.

    Raises:
        AssertionError: if it is another line, a file of before is lost, or something half-written stays.
    """
    whole = place.target.is_file()
    if not whole and place.target.suffix != ".jsonl":
        place.target.write_bytes(b"of before")
    before = place.target.read_bytes() if place.target.is_file() else b""
    files = {path.name for path in place.target.parent.iterdir()}
    with full(folder):
        said = failing(place.act)
    named = [str(path) for path in (place.target, *place.beside)]
    assert said.count("\n") == 1 and any(name in said for name in named) and " bytes free" in said, said
    if place.target.suffix == ".jsonl":
        assert 1 <= len(Archive(place.target)) < 50, "whole lines stay"
    else:
        assert place.target.read_bytes() == before
        left = {path.name for path in place.target.parent.iterdir()} - files - {"log.jsonl", "lock", ".lock"}
        left -= {"keypoints.json.part"}  # what is done of many images; the same command goes on from it
        assert not left, f"{left} stays"
    return said.strip()
