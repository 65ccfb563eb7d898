"""Forms of option values that several subcommands share."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

from ..budget import BudgetError, Limit, parse_count, parse_milliseconds


def height_width(text: str) -> tuple[int, int]:
    """ "360x480" to (360, 480)."""
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ArgumentTypeError(f"a size is HEIGHTxWIDTH in pixels, for example 360x480, got {text!r}")
    from ..data.images import MAX_PIXELS  # with its libraries, which whoever gives a size needs anyway

    if int(height) * int(width) > MAX_PIXELS:
        raise ArgumentTypeError(f"{text} has too many pixels (at most {MAX_PIXELS // 10**6} million)")
    return int(height), int(width)


def numbers(text: str) -> tuple[float, ...]:
    """ "0.75,1" to (0.75, 1.0)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"scales are numbers with commas between, for example 0.75,1, got {text!r}") from None


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"a whole number of at least 1 is needed, got {text!r}")
    return int(text)


def counted(text: str) -> int:
    """ "1.5G" to 1500000000."""
    return _limit(parse_count, text)


def milliseconds(text: str) -> float:
    """ "8ms" to 8.0."""
    return _limit(parse_milliseconds, text)


def _limit(parse: Callable[[str], Limit], text: str) -> Limit:
    try:
        return parse(text)
    except BudgetError as e:
        raise ArgumentTypeError(str(e)) from None
