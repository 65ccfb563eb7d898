"""Training data: a *source* holds images and makes augmented samples; batches are asked for by step.

A sample is a pure function of (index, seed, size), so runs repeat, resume and share work between ranks exactly.
Images travel as uint8 (H, W, 3) and are normalised on the device.
"""

from __future__ import annotations

import bisect
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from scalenet.data import DataError, DataWarning
from scalenet.data.images import ImageError, to_input
from scalenet.data.io import full_disk_named, remove_left, temporary_name
from scalenet.data.joint_names import words_of
from scalenet.data.labels import Labels
from scalenet.runtime.errors import one_line

from ..signals import leave_signals_to_the_run

Loaded = TypeVar("Loaded")
MOST_SKIPPED = 10  # damaged images one after the other: then it is not the images
Size = tuple[int, int]
Request = tuple[int, tuple[int, int], Size]


class Source(Protocol):
    """Images with labels, augmented on demand."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, ...]:
        """One augmented sample of (H, W) ``size``: arrays of equal shape for every index."""


class Joined:
    """Several sources of like samples, one after the other."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = sources
        self.ends = np.cumsum([len(s) for s in sources]).tolist()

    def __len__(self) -> int:
        return self.ends[-1]

    def _find(self, index: int) -> tuple[Any, int]:
        part = bisect.bisect_right(self.ends, index)
        return self.sources[part], index - (self.ends[part - 1] if part else 0)

    def load(self, index: int, size: Size) -> np.ndarray:
        """An image as it is at prediction, (H, W) ``size``."""
        source, own = self._find(index)
        return source.load(own, size)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, ...]:
        """One augmented sample; see :class:`Source`."""
        source, own = self._find(index)
        return source.sample(own, rng, size)


class SampleError(DataError):
    """An image that cannot be read; of the traceback that a loader's process sends, the last line is what it says."""

    def __init__(self, message: str) -> None:
        super().__init__(message.strip().splitlines()[-1].removeprefix(f"{__name__}.{type(self).__name__}: "))


def readable(load: Callable[[int], Loaded], index: int, length: int, skip: bool) -> tuple[Loaded, list[str]]:
    """load(index), or where ``skip`` of the next that can be read, and what was said of those that cannot.

    Raises:
        SampleError: if it cannot, or if MOST_SKIPPED in a row cannot.
    """
    said: list[str] = []
    for i in range(index, index + (MOST_SKIPPED if skip else 1)):
        try:
            return load(i % length), said
        except (DataError, ImageError, OSError) as e:
            said.append(one_line(e))
    more = f" (and {len(said) - 1} after it)" if len(said) > 1 else ""
    raise SampleError(f"{said[0]}{more}")


class Requests(Dataset):
    """Adapts a source to a DataLoader: its keys are (index, seed, size).

    Args:
        skip: take the next image in the place of one that cannot be read; then the last part of a sample says which
            could not, and is "" otherwise.
    """

    def __init__(self, source: Source, skip: bool = False) -> None:
        self.source, self.skip = source, skip

    def __getitem__(self, request: Request) -> tuple[torch.Tensor | str, ...]:
        index, seed, size = request

        def sample(i: int) -> tuple[np.ndarray, ...]:
            return self.source.sample(i, np.random.default_rng(seed), size)

        arrays, said = readable(sample, index, len(self.source), self.skip)
        parts = tuple(torch.from_numpy(np.asarray(a, order="C")) for a in arrays)
        return (*parts, "\n".join(said)) if self.skip else parts


class StepBatches(Sampler):
    """Requests of one rank, step by step: epochs are seeded permutations, split over the ranks."""

    def __init__(
        self, length: int, batch: int, size: Callable[[int], Size], seed: int, start: int, rank: int, world: int
    ):
        self.length, self.batch, self.size, self.seed = length, batch, size, seed
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[list[Request]]:
        step, epoch, order = self.start, -1, np.empty(0, int)
        while True:
            requests, size = [], self.size(step)
            for position in range(step * self.batch + self.rank, (step + 1) * self.batch, self.world):
                if position // self.length != epoch:
                    epoch = position // self.length
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
                requests.append((int(order[position % self.length]), (self.seed, position), size))
            yield requests
            step += 1


def make_loader(
    source: Source, batch: int, size: Callable[[int], Size], *, seed: int = 0, start: int = 0, rank: int = 0,
    world: int = 1, workers: int = 0, skip: bool = False,
) -> DataLoader:  # fmt: skip
    """Endless batches from ``source`` beginning with step ``start``; ``batch`` is over all ranks together.

    Args:
        size: (H, W) of a step's images; it must say the same whenever it is asked, as workers ask early.
        skip: as of :class:`Requests`.
    """
    if not len(source):
        raise DataError("the data set is empty")
    sampler = StepBatches(len(source), batch, size, seed, start, rank, world)
    return DataLoader(
        Requests(source, skip), batch_sampler=sampler, num_workers=workers, pin_memory=torch.cuda.is_available(),
        worker_init_fn=leave_signals_to_the_run,
    )  # fmt: skip


@contextmanager
def iterating(loader: Iterable[list[torch.Tensor]]) -> Iterator[Iterator[list[torch.Tensor]]]:
    """A loader's iterator for a ``with`` block, at whose end its workers end too.

    They leave SIGTERM to the run, which is how those of an iterator that a traceback keeps alive would be ended.
    """
    batches = iter(loader)
    try:
        yield batches
    finally:
        stop = getattr(batches, "_shutdown_workers", None)  # PyTorch has no public name for it
        if stop is not None:
            stop()


def mirrored_where_known(augmentation: Any, labels: Labels) -> Any:
    """An augmentation with ``flip``; without it where it is not known which joints change places, which is said."""
    paired = {i for pair in labels.flip_pairs for i in pair}
    alone = [n for i, n in enumerate(labels.names) if i not in paired and {"left", "right"} & {*words_of(n)}]
    if not augmentation.flip or (paired and not alone):
        return augmentation
    why = f"joint {alone[0]!r} has no partner" if alone else "the joints name no left and right"
    warnings.warn(f"{labels.dataset}: {why}; images are not mirrored", DataWarning, stacklevel=3)
    return replace(augmentation, flip=0.0)


def spread(
    load: Callable[[int], np.ndarray],
    length: int,
    count: int,
    batch: int,
    device: torch.device,
    seed: int = 0,
    skip: bool = False,
) -> Iterator[torch.Tensor]:
    """Network inputs of ``count`` images (at most ``length``) of load(0) .. load(length - 1).

    They come ``batch`` at a time where they have one size, else one by one.

    Args:
        seed: 0 spreads them evenly, any other number draws them.
        skip: take the next one in the place of one that cannot be read.
    """
    count = min(count, length)
    if seed:
        index = np.random.default_rng(seed).permutation(length)[:count].tolist()
    else:
        index = np.linspace(0, length - 1, count).round().astype(int).tolist()
    for start in range(0, len(index), batch):
        images = [readable(load, i, length, skip)[0] if skip else load(i) for i in index[start : start + batch]]
        together = len({p.shape for p in images}) == 1
        for group in [images] if together else [[p] for p in images]:
            yield to_input(np.stack(group), device)


def holds_labels(folder: Path) -> bool:
    """Whether a folder, by its path below a data set's, holds index masks in one of the known forms."""
    return any(part in ("labels", "gtFine") or part.endswith("annot") for part in folder.parts)


@contextmanager
def atomic_folder(out: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``out``, which becomes ``out`` when the ``with`` block ends well.

    Raises:
        DataError: if ``out`` exists already.
    """
    out = Path(out)
    if out.exists():
        raise DataError(f"{out} exists already; name another folder")
    remove_left(out)
    partial = temporary_name(out)
    with full_disk_named(out):
        partial.mkdir(parents=True)  # fails where somebody put a link
        try:
            yield partial
            os.replace(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
