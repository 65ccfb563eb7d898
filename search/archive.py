"""The search's memory: an append-only JSONL file, an evaluated architecture a line; reading it is how a search resumes.

Lines that begin with ``{"identity"`` say what the scores depend on; archives of earlier versions have none.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalenet.archs.arch import Arch, ArchError
from scalenet.data.io import full_disk_named

IDENTITY = '{"identity"'
Identity = Mapping[str, Any]


class ArchiveError(ValueError):
    """An archive that is not one."""


def key_of(arch: Arch) -> str:
    """What makes an evaluation one of its own: the structure and the input size."""
    return f"{arch.digest}@{arch.input_size[0]}x{arch.input_size[1]}"


@dataclass(frozen=True)
class Record:
    """One evaluated architecture: ``score`` is the validation figure, 0..1, ``macs`` counted at its input size.

    ``latency`` is in milliseconds, 0 where it was not measured.
    """

    arch: Arch
    score: float
    macs: int
    params: int
    generation: int
    seconds: float
    latency: float = 0.0

    @property
    def digest(self) -> str:
        """The architecture's digest."""
        return self.arch.digest

    @property
    def key(self) -> str:
        """Its digest and input size."""
        return key_of(self.arch)

    def to_json(self) -> str:
        """One archive line."""
        fields = {k: getattr(self, k) for k in ("digest", "score", "macs", "params", "generation", "seconds")}
        fields |= {"latency": self.latency} if self.latency else {}
        return json.dumps({**fields, "arch": self.arch.to_dict()})

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Read one archive line.

        Raises:
            ArchiveError, ArchError, KeyError, TypeError, ValueError: for anything else.
        """
        data = json.loads(line)
        fields = {k: data[k] for k in ("score", "macs", "params", "generation", "seconds")}
        fields["latency"] = data.get("latency", 0.0)
        for name, value in fields.items():
            whole = name in ("macs", "params", "generation")
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not fits or not math.isfinite(value) or (value < 0 and name != "score"):
                raise ArchiveError(f"{name} is no {'count' if whole else 'number'}: {value!r}")
        return cls(Arch.from_dict(data["arch"]), **fields)


class Archive:
    """Records by digest and input size in a file, and the ``identity`` of what scored them: name to value.

    A last line cut short by a crash is dropped, and cut off before the next is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read()

    def _read(self) -> None:
        self.records: dict[str, Record] = {}
        self.identity: dict[str, Any] = {}
        data = self.path.read_bytes() if self.path.is_file() else b""
        self._end = data.rfind(b"\n") + 1  # reading leaves the file alone: another search may be writing it
        self._cut = self._end < len(data)
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError:
            raise ArchiveError(f"{self.path} is no search archive: it is not text") from None
        for number, line in enumerate(lines[:-1], start=1):
            try:
                self._take(line)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArchError) as e:
                raise ArchiveError(f"{self.path}, line {number}: not a search record ({str(e)[:80]})") from None

    def _take(self, line: str) -> None:
        if line.startswith(IDENTITY):
            self.identity |= json.loads(line)["identity"]
        else:
            record = Record.from_json(line)
            self.records[record.key] = record

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Read anew and be the only one to write while the ``with`` block lasts.

        Raises:
            ArchiveError: if another process is writing it.
        """
        from training.lock import take  # which needs torch; records do not

        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = take(self.path)
        if file is None:
            raise ArchiveError(f"another process is writing {self.path}: wait for it, or name another out")
        with file:
            self._read()
            yield

    def identify(self, identity: Identity) -> None:
        """Say what the scores to come depend on; it is kept in the file.

        Raises:
            ArchiveError: naming what differs from what the file holds.
        """
        identity = json.loads(json.dumps(identity))  # as it will be read
        for name, value in identity.items():
            if self.identity.get(name, value) != value:
                raise ArchiveError(
                    f"{self.path} is of {name}={self.identity[name]}, not {value}: their records cannot be compared; "
                    f"name another out, or set {name} back"
                )
        if not identity.items() <= self.identity.items():
            self._append(json.dumps({"identity": identity}))
            self.identity |= identity

    def add(self, record: Record) -> None:
        """Append one record."""
        self._append(record.to_json())
        self.records[record.key] = record

    def _append(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._cut:
            os.truncate(self.path, self._end)
            self._cut = False
        data = f"{line}\n".encode()
        with full_disk_named(self.path, len(data)), self.path.open("ab") as f:
            f.write(data)

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, Arch) and key_of(arch) in self.records

    def __len__(self) -> int:
        return len(self.records)

    def before(self, generation: int) -> dict[str, Record]:
        """Records of earlier generations, by key and in its order."""
        return {key: self.records[key] for key in sorted(self.records) if self.records[key].generation < generation}

    @property
    def last_generation(self) -> int:
        """Number of the latest generation, -1 when empty."""
        return max((r.generation for r in self.records.values()), default=-1)
