"""The search's memory: an append-only JSONL file, one evaluated encoding a line; reading it is how a search resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scalenet.arch import Arch, ArchError


class ArchiveError(ValueError):
    """An archive that is not one."""


def key_of(arch: Arch) -> str:
    """What makes an evaluation one of its own: the structure and the input size."""
    return f"{arch.digest}@{arch.input_size[0]}x{arch.input_size[1]}"


@dataclass(frozen=True)
class Record:
    """One evaluated encoding: ``score`` is the validation figure, 0..1, ``macs`` counted at its input size."""

    arch: Arch
    score: float
    macs: int
    params: int
    generation: int
    seconds: float

    @property
    def digest(self) -> str:
        """The encoding's digest."""
        return self.arch.digest

    @property
    def key(self) -> str:
        """Its digest and input size."""
        return key_of(self.arch)

    def to_json(self) -> str:
        """One archive line."""
        fields = {k: getattr(self, k) for k in ("digest", "score", "macs", "params", "generation", "seconds")}
        return json.dumps({**fields, "arch": self.arch.to_dict()})

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Read one archive line."""
        data = json.loads(line)
        fields = {k: data[k] for k in ("score", "macs", "params", "generation", "seconds")}
        return cls(Arch.from_dict(data["arch"]), **fields)


class Archive:
    """Records by digest and input size, in a file; a last line cut short by a crash is dropped and written over."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.records: dict[str, Record] = {}
        self._whole = -1  # characters up to a last line that was cut short
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ArchiveError(f"{self.path} is no search archive: it is not text") from None
        whole, _, rest = text.rpartition("\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = Record.from_json(line)
            except (ValueError, KeyError, TypeError, ArchError) as e:
                raise ArchiveError(f"{self.path}, line {number}: not a search record ({str(e)[:80]})") from None
            self.records[record.key] = record
        if rest:
            self._whole = len(whole) + 1 if whole else 0

    def add(self, record: Record) -> None:
        """Append one record."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._whole >= 0:  # reading leaves the file alone: another search may be writing it
            self.path.write_text(self.path.read_text()[: self._whole])
            self._whole = -1
        with self.path.open("a") as f:
            f.write(record.to_json() + "\n")
        self.records[record.key] = record

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, Arch) and key_of(arch) in self.records

    def __len__(self) -> int:
        return len(self.records)

    @property
    def last_generation(self) -> int:
        """Number of the latest generation, -1 when empty."""
        return max((r.generation for r in self.records.values()), default=-1)
