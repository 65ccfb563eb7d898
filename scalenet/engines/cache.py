"""What was found once and is kept for the next time: the user's cache folder, and its files of JSON."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..data.io import atomic_write


def cache_folder() -> Path:
    """Where this package keeps what can be made again: ``$SCALENET_CACHE``, else ``~/.cache/scalenet``."""
    if given := os.environ.get("SCALENET_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalenet"


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache; where that cannot be, it is said once and nothing is kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except OSError as e:
        _say_unwritable(str(cache_folder()), e.strerror or str(e))


@lru_cache(maxsize=8)
def _say_unwritable(folder: str, reason: str) -> None:
    warnings.warn(f"nothing is kept in {folder} ({reason}): engines are made anew each time", stacklevel=4)


def remembered(name: str) -> dict[str, Any]:
    """The entries of a JSON file of the cache; none where it is missing or anything else."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads((cache_folder() / name).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def remember(name: str, found: Mapping[str, Any], most: int) -> None:
    """Add entries to a JSON file of the cache, which holds the ``most`` latest."""
    entries = list({**remembered(name), **found}.items())[-most:]
    keep(cache_folder() / name, json.dumps(dict(entries), indent=1).encode())
