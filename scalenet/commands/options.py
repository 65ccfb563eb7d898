"""Forms of option values that several subcommands share."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TypeVar

from ..budget import BudgetError, parse_count, parse_milliseconds
from ..engines.names import DTYPES, ENGINES

Number = TypeVar("Number", int, float)


def add_engine(parser: ArgumentParser) -> None:
    """``--engine`` and ``--dtype``, of every command that runs a network."""
    parser.add_argument(
        "--engine", choices=ENGINES, default="torch",
        help="what runs the network; auto: the fastest here, found by trying and remembered (default: torch)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=DTYPES, help="what it computes in (default: the weights' own; for --engine auto the faster)"
    )


def height_width(text: str) -> tuple[int, int]:
    """A size as text, "360x480", to (360, 480)."""
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ArgumentTypeError(f"a size is HEIGHTxWIDTH in pixels, for example 360x480, got {text!r}")
    from ..data.images import MAX_PIXELS  # with its libraries, which whoever gives a size needs anyway

    if int(height) * int(width) > MAX_PIXELS:
        raise ArgumentTypeError(f"{text} has too many pixels (at most {MAX_PIXELS // 10**6} million)")
    return int(height), int(width)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers as text, "0.75,1", to (0.75, 1.0)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"scales are numbers with commas between, for example 0.75,1, got {text!r}") from None


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"a whole number of at least 1 is needed, got {text!r}")
    return int(text)


def add_threads(parser: ArgumentParser) -> None:
    """``--threads N``; :func:`use_threads` obeys it."""
    parser.add_argument("--threads", type=positive, metavar="N", help="processor threads (default: one a core)")


def use_threads(args: Namespace) -> None:
    """Set the number of threads that torch computes in to what was asked for."""
    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)


def counted(text: str) -> int:
    """Read "1.5G" as 1500000000."""
    return _limit(parse_count, text)


def milliseconds(text: str) -> float:
    """Read "8ms" as 8.0."""
    return _limit(parse_milliseconds, text)


def _limit(parse: Callable[[str], Number], text: str) -> Number:
    try:
        return parse(text)
    except BudgetError as e:
        raise ArgumentTypeError(str(e)) from None
