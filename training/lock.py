"""One run at a time in a folder. The kernel frees the folder when the process that holds it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from . import distributed
from .checks import TrainingError

NAME = "run.lock"
_held: weakref.WeakSet[FileIO] = weakref.WeakSet()


def _let_go() -> None:
    for file in list(_held):
        file.close()


os.register_at_fork(after_in_child=_let_go)  # a loader's worker that outlives its run must not hold the folder


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def take(path: Path, opener: Callable[[str, int], int] | None = None) -> FileIO | None:
    """A file, made if need be and held until it is closed; None if another process holds it.

    Args:
        opener: as of ``open``.
    """
    file = FileIO(path, "a", opener=opener)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    _held.add(file)
    return file


def _refuse(folder: Path, held: bool) -> None:
    if distributed.agree(float(held)):
        raise TrainingError(f"another run is training in {folder}: wait for its end, or name another folder")


def check_free(folder: Path) -> None:
    """Look, on behalf of all processes, whether a folder is free; nothing is written.

    Raises:
        TrainingError: on every process, if another run holds it.
    """
    held = False
    if distributed.rank() == 0 and (folder / NAME).is_file():
        file = take(folder / NAME, _no_link)
        held = file is None
        if file is not None:
            file.close()
    _refuse(folder, held)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if need be, in a ``with`` block; the first process does it for all.

    Raises:
        TrainingError: on every process, if another run holds it.
    """
    main, file = distributed.rank() == 0, None
    if main:
        folder.mkdir(parents=True, exist_ok=True)
        file = take(folder / NAME, _no_link)
    _refuse(folder, main and file is None)
    try:
        yield
    finally:
        if file is not None:
            file.close()
