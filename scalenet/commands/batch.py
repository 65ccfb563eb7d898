"""The images of a command line as one job each: what exists already, what cannot be read, progress, summary."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.errors import one_line
from .inputs import ImageSource, unique_names

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Job:
    """An image, the name of its results, and the files they go to."""

    source: ImageSource
    name: str
    targets: tuple[Path, ...]


def plan(args: argparse.Namespace, sources: Sequence[ImageSource], kinds: Sequence[str]) -> list[Job]:
    """Jobs of this process's shard, and the files that their results go to.

    They are NAME_KIND in the folder ``args.out``, or, if that is an image's name, the file itself for the first of
    ``kinds`` ("mask.png" for example) and NAME_KIND beside it for others.

    Raises:
        ValueError: if one file is named for several images, or an image given would be written over.
    """
    out, names = Path(args.out), unique_names(sources)
    if is_file_name(out):
        if len(sources) > 1:
            raise ValueError(f"-o {out} names one file for {len(sources)} images: give a folder")
        beside = [out.with_name(f"{out.stem}_{kind}") for kind in kinds[1:]]
        jobs = [Job(sources[0], out.stem, (out, *beside))]
    else:
        jobs = [
            Job(source, name, tuple(out / f"{name}_{kind}" for kind in kinds))
            for source, name in zip(sources, names, strict=True)
        ]
    part, parts = args.shard or (1, 1)
    jobs = jobs[part - 1 :: parts]
    keep_inputs(sources, (target for job in jobs for target in job.targets))
    return jobs


def is_file_name(out: Path) -> bool:
    """Whether ``-o`` names an image rather than a folder."""
    return out.suffix.lower() in IMAGE_SUFFIXES and not out.is_dir()


def keep_inputs(sources: Iterable[ImageSource], targets: Iterable[Path]) -> None:
    """Refuse to write over an image that was given.

    Raises:
        ValueError: naming it.
    """
    given = {source.path.resolve() for source in sources if source.path}
    for target in targets:
        if target.resolve() in given:
            raise ValueError(f"{target} is one of the images given and would be overwritten: name a folder with -o")


def keep_results(args: argparse.Namespace, targets: Iterable[Path]) -> None:
    """Refuse to write over results, unless the command line says what to do with them.

    Raises:
        ValueError: naming the first.
    """
    if args.overwrite or args.skip_existing:
        return
    there = next((target for target in targets if target.exists()), None)
    if there is not None:
        raise ValueError(f"{there} already exists: --overwrite replaces results, --skip-existing keeps them")


class Batch:
    """The jobs of a command line as they are done.

    A single image, or any with ``--strict``, must be readable; of several, one that cannot be read is named on stderr
    and left out.

    Args:
        args: of the command line.
        jobs: those to do.
        skipped: how many are left out because their results exist.

    Attributes:
        failed: image and error of each that could not be read.
    """

    def __init__(self, args: argparse.Namespace, jobs: Sequence[Job], skipped: int = 0) -> None:
        self.args, self.jobs, self.skipped = args, jobs, skipped
        self.failed: list[dict[str, str]] = []
        self._strict = args.strict or len(jobs) == 1
        self._loaded: deque[tuple[Job, Any]] = deque()
        self._last: Job | None = None
        self._bar: Any = None
        if self._strict:
            for job in jobs:
                job.source.check()

    def make_folders(self) -> None:
        """Make the folders that results go to."""
        for folder in {target.parent for job in self.jobs for target in job.targets}:
            folder.mkdir(parents=True, exist_ok=True)

    def images(self) -> Iterator[Any]:
        """Pixels of each image that can be read."""
        for job in self.jobs:
            try:
                pixels = job.source.load()
            except (OSError, ValueError) as e:
                if self._strict:
                    raise
                self._fail(job, e)
                continue
            self._loaded.append((job, pixels))
            self._last = job
            yield pixels

    def done(self, results: Iterable[Any]) -> Iterator[tuple[Job, Any, Any]]:
        """Job, pixels and result, for results in the order of :meth:`images`, which they are made from."""
        from tqdm import tqdm

        off = True if self.args.json or len(self.jobs) < 2 else None  # None: where stderr is no terminal
        with tqdm(total=len(self.jobs), unit="image", file=sys.stderr, disable=off, dynamic_ncols=True) as self._bar:
            for result in results:
                yield *self._loaded.popleft(), result
                self._bar.update()

    def say(self, text: str) -> None:
        """Print a line beside the bar."""
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)

    def loaded(self, value: Callable[[Job], Any]) -> Iterator[Any]:
        """``value(job)`` for each of :meth:`images`, taken after it: what goes with an image into a predictor."""
        while self._last is not None:
            job, self._last = self._last, None
            yield value(job)

    def summary(self) -> dict[str, Any]:
        """What failed, which makes the exit status 1, and what was left out; both are said too."""
        if self.failed:
            self.args.status = 1
            print(
                f"scalenet {self.args.command}: {len(self.failed)} of {len(self.jobs)} images could not be read "
                "(named above), the others are done", file=sys.stderr,
            )  # fmt: skip
        if self.skipped and not self.args.json:
            print(f"{self.skipped} left out: their results exist (--overwrite replaces them)")
        return {"failed": self.failed, "skipped": self.skipped}

    def _fail(self, job: Job, error: Exception) -> None:
        from tqdm import tqdm

        self.failed.append({"image": job.source.text, "error": one_line(error)})
        tqdm.write(f"scalenet {self.args.command}: left out {job.source.text}: {one_line(error)}", file=sys.stderr)
        if self._bar is not None:
            self._bar.update()
