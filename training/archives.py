"""Files out of zip and tar archives, and folders of them, written where a layout says and nowhere else."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from tqdm import tqdm

from .data import DataError

CHUNK = 1 << 20
MOST_BYTES = 1 << 32  # of one file: 4 GiB
MOST_FILES = 5_000_000
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")
Rules = Mapping[str, str]  # pattern of an end of a path: what becomes of it below the new folder


@dataclass(frozen=True)
class ArchiveFile:
    """A regular file of an archive: its path there, its declared size, how to open it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def members(source: str | Path) -> Iterator[ArchiveFile]:
    """The regular files of a zip or tar archive, a folder (with the archives in it), or a file by itself.

    Links, devices and hidden files are left out.

    Raises:
        FileNotFoundError: if it is not there.
        DataError: if it is damaged.
    """
    path = Path(source)
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink()):
            if file.suffix.lower() in ARCHIVES and not re.fullmatch(r"n\d{8}\.tar", file.name):
                yield from members(file)
            else:
                yield ArchiveFile(file.relative_to(path).as_posix(), file.stat().st_size, partial(_plain_file, file))
    elif path.suffix.lower() in ARCHIVES and path.is_file():
        try:
            yield from _in_zip(path) if path.suffix.lower() == ".zip" else _in_tar(path)
        except DAMAGED as e:
            raise DataError(f"{path} is damaged or no archive that can be read ({str(e)[:80]})") from None
    elif path.is_file():
        yield ArchiveFile(path.name, path.stat().st_size, lambda: path.open("rb"))
    else:
        raise FileNotFoundError(f"no archive or folder {path}")


def _in_zip(path: Path) -> Iterator[ArchiveFile]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir() and kind in (0, stat.S_IFREG):
                yield ArchiveFile(info.filename, info.file_size, partial(archive.open, info))


def _in_tar(path: Path) -> Iterator[ArchiveFile]:
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isfile():
                yield ArchiveFile(info.name, info.size, partial(_tar_file, archive, info))
            archive.members = []  # type: ignore[attr-defined]  # of a million files, its own list would take a gigabyte


def _plain_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], archive.extractfile(info))


def place_of(name: str, rules: Rules) -> PurePosixPath | None:
    """Where a member goes: the first rule whose pattern ends its path, at the beginning of a name; None: nowhere.

    Raises:
        DataError: if that is outside the folder.
    """
    clean = name.replace("\\", "/")
    if any(part.startswith("._") or part == "__MACOSX" for part in PurePosixPath(clean).parts):
        return None
    for pattern, template in rules.items():
        found = re.search(rf"(?:^|/)(?:{pattern})$", clean)
        if found:
            target = PurePosixPath(found.expand(template))
            if target.is_absolute() or ".." in target.parts or "\0" in clean:
                raise DataError(f"{name!r} would be written outside the folder")
            return target
    return None


def extract(sources: Iterable[str | Path], out: Path, rules: Rules) -> int:
    """Write the members that a rule takes; returns how many.

    Raises:
        DataError: for a path that leads outside, two members that would become one file, one that is damaged, larger
            than it says or than 4 GiB, more than five million, or more than the disk has room for.
    """
    written: dict[PurePosixPath, str] = {}
    for source in sources:
        for member in tqdm(members(source), desc=Path(source).name, unit=" files", disable=None):
            target = place_of(member.name, rules)
            if target is None:
                continue
            what = f"{source}: {member.name}"
            if target in written:
                raise DataError(f"{what} and {written[target]} would both become {target}")
            if len(written) == MOST_FILES:
                raise DataError(f"{source} holds more than {MOST_FILES:,} files")
            _check_size(member, what, out)
            written[target] = what
            try:
                _write(member, out / target, what)
            except DAMAGED as e:
                raise DataError(f"{what} is damaged ({str(e)[:80]})") from None
    return len(written)


def _check_size(member: ArchiveFile, what: str, out: Path) -> None:
    if not 0 <= member.size <= MOST_BYTES:
        raise DataError(f"{what} says it is {member.size:,} bytes; at most {MOST_BYTES:,} are written")
    free = shutil.disk_usage(out).free
    if member.size > free:
        raise DataError(f"{what} needs {member.size:,} bytes, and {free:,} are free at {out.parent}")


def _write(member: ArchiveFile, path: Path, what: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with member.open() as source, os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
        while part := source.read(min(CHUNK, left + 1)):
            left -= len(part)
            if left < 0:
                raise DataError(f"{what} is larger than the {member.size:,} bytes it says it is")
            file.write(part)
    if left:
        raise DataError(f"{what} is {left:,} bytes shorter than it says: the archive is cut off")
