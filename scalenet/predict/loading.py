"""What to call a network."""

from __future__ import annotations

from pathlib import Path

from ..network import ScaleNet


def name_of(name_or_model: str | Path | ScaleNet) -> str:
    """What to call a network in a report: the name it was asked for by, else its encoding's."""
    return str(name_or_model) if isinstance(name_or_model, (str, Path)) else name_or_model.arch.name
