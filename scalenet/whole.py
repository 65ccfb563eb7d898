"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path, suffix: str | None = None) -> Iterator[Path]:
    """A temporary file's path beside ``path`` to write to in a ``with`` block.

    It takes the place of ``path`` when the block ends well, and is removed when it does not.

    Args:
        suffix: of the temporary name, for writers that go by it; default that of ``path``.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix if suffix is None else suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file whole or not at all; its folder is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)
