"""Errors as one line of text, and what a misspelt word may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_line(error: BaseException) -> str:
    """What went wrong, without line breaks."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(text).split()) or type(error).__name__


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """A question, "did you mean X?", where one of the choices is near; else nothing.

    Args:
        cutoff: how near, 0 to 1.
    """
    close = difflib.get_close_matches(word, list(choices), 1, cutoff)
    return f"did you mean {close[0]}?" if close else ""


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """The question "did you mean X?", or what there is to choose from."""
    choices = sorted(choices)
    return did_you_mean(word, choices, cutoff) or f"choose from {', '.join(choices)}"
