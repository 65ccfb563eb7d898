"""A run's checkpoints: the last three and the best, whole or not at all, none of them trusted without its checksum.

``checkpoint.pt`` is the newest, ``checkpoint.1.pt`` and ``checkpoint.2.pt`` come before it, ``checkpoint.best.pt`` is
the one whose network scored best at the end of a run (with the score as ``metric``). A file is what ``torch.save``
writes, followed by 73 bytes: a line break, "sha256 ", the SHA-256 of all before it in hexadecimal digits, a line break.
``torch.load`` reads it as it is. Files of the first form, without checksum, are read too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any, BinaryIO

import torch

from scalenet.data.io import atomic_write

from .checks import TrainingError

FORM = 2
MARK = b"\nsha256 "
TRAILER = len(MARK) + 64 + 1
CHUNK = 1 << 20
TEMPORARY = re.compile(r"\.(checkpoint|final|curves)[\w.-]*\.tmp(\.\w+)?")  # of links and whole files
State = dict[str, Any]

_log = logging.getLogger(__name__)


class DamagedError(TrainingError):
    """A file that is not, or no longer, a checkpoint."""


class Checkpointer:
    """The checkpoints in a run's folder. ``step`` is that of the last one read or written, None if there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = [folder / name for name in ("checkpoint.pt", "checkpoint.1.pt", "checkpoint.2.pt")]
        self.best = folder / "checkpoint.best.pt"
        self.step: int | None = None
        self._damaged: set[Path] = set()
        self._known = self._newest()

    def _newest(self) -> tuple[int, int] | None:
        """What tells the newest file from any other."""
        try:
            found = self.files[0].stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def read(self, device: torch.device, quiet: bool = False) -> tuple[Path, State] | None:
        """The newest checkpoint that is whole, and its file; None if there is none at all.

        One that is damaged is named in a warning, unless ``quiet``.

        Raises:
            TrainingError: if there are some, and all are damaged.
        """
        self._known, self._damaged = self._newest(), set()
        there = [path for path in (*self.files, self.best) if path.is_file()]
        for path in there:
            try:
                state = read_state(path, device)
            except DamagedError:
                self._damaged.add(path)
                continue
            self.step = state["step"]
            if self._damaged and not quiet:
                names = " and ".join(p.name for p in there if p in self._damaged)
                _log.warning("%s is damaged: going on from step %d of %s", self.folder / names, self.step, path.name)
            return path, state
        if there:
            names = ", ".join(path.name for path in there)
            raise TrainingError(
                f"{self.folder}: {names} is damaged, no checkpoint is whole; move it away to start anew"
            )
        return None

    def check_unchanged(self) -> None:
        """Raises TrainingError if another run has written since the last look."""
        if self._newest() != self._known:
            raise TrainingError(f"another run has trained in {self.folder} meanwhile; give the command again")

    def write(self, state: State) -> None:
        """Make ``state`` the newest checkpoint; those before it step back. Nothing is lost if the process is killed.

        Raises:
            OSError: if it cannot be written (DiskFullError: there is no room); what was there stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.files[0], size=_bytes(state)) as temporary:
            _write_state(temporary, state)
            self._step_back()
        _sync_folder(self.folder)
        self._damaged.discard(self.files[0])
        self.step, self._known = state["step"], self._newest()

    def _step_back(self) -> None:
        kept = [path for path in self.files if path.is_file() and path not in self._damaged]
        moves = list(zip(kept, self.files[1:], strict=False))
        for source, target in reversed(moves):  # the oldest first; damaged ones are written over
            if source == self.files[0]:
                _name_too(source, target)
            elif source != target:
                os.replace(source, target)
            self._damaged.discard(target)

    def best_metric(self) -> float:
        """What the best checkpoint scored; minus infinity if there is none."""
        try:
            return float(read_state(self.best, torch.device("cpu"))["metric"])
        except (FileNotFoundError, DamagedError, KeyError):
            return float("-inf")

    def write_best(self, metric: float) -> None:
        """Keep the newest checkpoint as the best, too, with what its network scored."""
        state = read_state(self.files[0], torch.device("cpu"))
        with atomic_write(self.best, size=_bytes(state)) as temporary:
            _write_state(temporary, {**state, "metric": metric})
        _sync_folder(self.folder)

    def remove_temporaries(self) -> None:
        """Remove what killed runs left half written; for the one that holds the folder's lock."""
        for path in self.folder.glob(".*.tmp*"):
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def read_state(path: Path, device: torch.device) -> State:
    """What a checkpoint file holds, its checksum verified.

    Raises:
        DamagedError: if it is not as it was written, or no checkpoint.
        FileNotFoundError, PermissionError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            signed = _verify(path, file)
            file.seek(0)
            state = torch.load(file, map_location=device, weights_only=True)
        whole = {"identity", "model", "optimizer", "step", "elapsed"} <= state.keys() and ("form" in state) == signed
    except (FileNotFoundError, PermissionError, MemoryError, torch.OutOfMemoryError, DamagedError):
        raise
    except Exception as e:  # a damaged file can make the reader fail in any way
        raise DamagedError(f"{path} is damaged ({' '.join(str(e).split())[:80]})") from None
    if not whole:
        raise DamagedError(f"{path} is damaged (no checksum, or no checkpoint of a run)")
    return state


def _verify(path: Path, file: BinaryIO) -> bool:
    """Whether a file has a checksum, which then is right.

    Raises:
        DamagedError: if it is wrong.
    """
    length = max(0, file.seek(0, os.SEEK_END) - TRAILER)
    file.seek(length)
    trailer = file.read()
    if not trailer.startswith(MARK):
        return False
    file.seek(0)
    digest = hashlib.sha256()
    while length:
        part = file.read(min(CHUNK, length))
        digest.update(part)
        length -= len(part)
    if trailer != MARK + digest.hexdigest().encode() + b"\n":
        raise DamagedError(f"{path} is damaged (its checksum is another)")
    return True


def _write_state(path: Path, state: State) -> None:
    with path.open("w+b") as file:
        torch.save({"form": FORM, **state}, file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(MARK + digest.encode() + b"\n")


def _bytes(state: object) -> int:
    """What the tensors in a nest of dicts and lists weigh."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return sum(map(_bytes, parts))


def _name_too(source: Path, target: Path) -> None:
    """Give a file a second name, in the place of whatever has it, so that at no time the first is missing."""
    link = target.with_name(f".checkpoint.{secrets.token_hex(8)}.tmp")
    try:
        os.link(source, link)
    except OSError:  # a file system without hard links
        os.replace(source, target)
        return
    os.replace(link, target)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
