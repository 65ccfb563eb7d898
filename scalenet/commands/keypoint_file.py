"""A results file in COCO's form that grows while images are looked at, and outlives a run that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ..data.io import atomic_write, read_lines

Entries = list[dict[str, Any]]


class KeypointFile:
    """COCO results of many images, for a ``with`` block.

    Each image's are appended to FILE.part; a block that ends well makes FILE of it, whole or not at all. After one that
    does not, FILE.part stays.

    Args:
        path: FILE, a ``.json``.
        resume: take over what FILE and FILE.part hold; else they are replaced.

    Attributes:
        known: names of the images that FILE.part holds, with ``resume``.

    Raises:
        ValueError: if FILE is no list of results.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self.part = path, part_of(path)
        self._before: Entries = _read(path) if resume and path.exists() else []
        self._finished = bool(resume and path.exists())
        self.known = {name for name, _ in read_lines(self.part)} if resume else set()
        self._resume = resume

    def holds(self, name: str) -> bool:
        """Whether an image whose drawing exists was looked at to the end."""
        return self._finished or name in self.known

    def add(self, name: str, entries: Entries) -> None:
        """Append an image's results, before anything else of the image is written."""
        self._file.write(json.dumps([name, entries]) + "\n")
        self._file.flush()

    def __enter__(self) -> KeypointFile:
        self._file = self.part.open("a" if self._resume else "w", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
        if kind is not None:
            return
        with atomic_write(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write("[")
            for number, entry in enumerate(self._entries()):
                file.write((", " if number else "") + json.dumps(entry))
            file.write("]")
        self.part.unlink()

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Those of FILE, then those of FILE.part; an image that is there twice was done again, and the last counts."""
        last = {name: number for number, (name, _) in enumerate(read_lines(self.part))}
        again = {image_id(name) for name in last}
        yield from (entry for entry in self._before if entry["image_id"] not in again)
        for number, (name, entries) in enumerate(read_lines(self.part)):
            if last[name] == number:
                yield from entries


def part_of(path: Path) -> Path:
    """FILE.part beside a results file."""
    return path.with_name(f"{path.name}.part")


def image_id(name: str) -> int | str:
    """An image's id in COCO's form: the number its name is, else the name."""
    return int(name) if name.isdecimal() else name


def check_ids(names: Iterable[str]) -> None:
    """Raises ValueError if two of the images' names give one id, as 1 and 01 do."""
    known: dict[int | str, str] = {}
    for name in names:
        other = known.setdefault(image_id(name), name)
        if other != name:
            raise ValueError(
                f"images {other} and {name} would both have the image id {image_id(name)}: rename one, or name "
                "another folder with -o"
            )


def _read(path: Path) -> Entries:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "image_id" in e for e in entries):
        raise ValueError(f"{path} is not a list of COCO results and cannot be resumed: --overwrite replaces it")
    return entries
