"""Files that appear whole or not at all, and what is said when the disk is full."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

HOST = f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"  # a process number means something on one machine
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TORCH_FELL_SHORT = ("unexpected pos", "PytorchStreamWriter failed")  # what torch says when a write did
TEMPORARY = re.compile(rf"\.(\d+)-{HOST}-[0-9a-f]{{16}}\.tmp")


class DiskFullError(OSError):
    """A file that the disk, a quota or a limit of file sizes has no room for."""


@contextmanager
def atomic_write(path: str | Path, suffix: str | None = None, size: int | None = None) -> Iterator[Path]:
    """A temporary file's path beside ``path`` to write to in a ``with`` block.

    It is there, empty, under a name of its own, so that threads and processes writing the same ``path`` keep out of
    each other's way. It takes the place of ``path`` when the block ends well, and is removed when it does not; what a
    killed process left of ``path`` goes when the next one writes it.

    Args:
        suffix: of the temporary name, for writers that go by it; default that of ``path``.
        size: bytes that will be written, where that is known; for the words about a full disk.

    Raises:
        DiskFullError: if there is no room; what ``path`` was before it still is.
        OSError: naming ``path``, if it cannot be written.
    """
    path = Path(path)
    with full_disk_named(path, size):
        yield from _written(path, suffix)


@contextmanager
def full_disk_named(path: str | Path, size: int | None = None) -> Iterator[None]:
    """Say of a full disk which file it was, how many bytes were wanted (``size``, if known) and how many are free,
    whatever words the writer in the ``with`` block has for it.

    Raises:
        DiskFullError: one line.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as e:
        number = _no_room(e)
        if number is None:
            raise
        folder = next(parent for parent in Path(path).absolute().parents if parent.is_dir())
        wanted = "" if size is None else f"{size:,} bytes wanted, "
        text = f"{os.strerror(number)} ({wanted}{shutil.disk_usage(folder).free:,} bytes free)"
        raise DiskFullError(number, text, str(path)) from None


def _no_room(error: BaseException | None) -> int | None:
    """The error number if an error, or what it came from, is of a full disk."""
    while error is not None:
        number, text = getattr(error, "errno", None), str(error)
        if number in FULL:
            return number
        for number in FULL:  # safetensors has Rust's words, others the system's
            if f"(os error {number})" in text or os.strerror(number) in text:
                return number
        if any(words in text for words in TORCH_FELL_SHORT):
            return errno.ENOSPC
        error = error.__cause__ or error.__context__
    return None


def _written(path: Path, suffix: str | None) -> Iterator[Path]:
    remove_left(path)
    temporary = temporary_name(path, path.suffix if suffix is None else suffix)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # follows no link
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(path)) from None
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file whole or not at all; its folder is made if need be."""
    data = text.encode()
    with full_disk_named(path, len(data)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, size=len(data)) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def read_lines(path: Path) -> Iterator[Any]:
    """The values of a file of JSON lines, none if there is no file.

    A line cut short by a crash, alone or run into the next, is left out.
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError):
                yield json.loads(line)


def temporary_name(path: Path, suffix: str = "") -> Path:
    """A path beside ``path`` that nobody can foresee, and that says which process it is of."""
    return path.with_name(f"{_begin(path)}.{os.getpid()}-{HOST}-{secrets.token_hex(8)}.tmp{suffix}")


def remove_left(path: Path) -> None:
    """Remove what killed processes left under a temporary name of ``path``."""
    for name in _left(path.parent):
        if name.startswith(_begin(path)) and TEMPORARY.match(name, len(_begin(path))):
            left = path.with_name(name)
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _begin(path: Path) -> str:
    """How the temporary names of a path begin; names have a greatest length."""
    return f".{path.stem[:40]}"


def _flush(path: Path) -> None:
    """Have the content on the disk, so that a power cut after the renaming does not leave an empty file."""
    file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        os.fsync(file)
    finally:
        os.close(file)


@lru_cache(maxsize=256)
def _left(folder: Path) -> tuple[str, ...]:
    """Names of temporary files that dead processes left in a folder; looked for once, as folders can be large."""
    with suppress(OSError):
        names = [name for name in os.listdir(folder) if name.startswith(".")]
        return tuple(name for name in names if (found := TEMPORARY.search(name)) and not _alive(int(found[1])))
    return ()


def _alive(process: int) -> bool:
    """Whether a process of this machine runs; where that cannot be told, it does."""
    if os.name == "nt":  # there the question itself would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True
