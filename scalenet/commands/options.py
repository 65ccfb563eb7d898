"""Forms of option values that several subcommands share."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ..archs.budget import BudgetError, parse_count, parse_milliseconds
from ..engines.names import DTYPES, ENGINES
from ..runtime.command_line import positive

Number = TypeVar("Number", int, float)


def add_engine(parser: ArgumentParser) -> None:
    """``--engine``, ``--dtype`` and ``--calibration``, of every command that runs a network."""
    parser.add_argument(
        "--engine", choices=ENGINES, default="torch",
        help="inference engine; auto: the fastest on this machine, measured once and cached (default: torch)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="compute dtype (default: that of the weights; with --engine auto the faster one)",
    )
    add_calibration(parser)


def add_calibration(parser: ArgumentParser) -> None:
    """``--calibration FOLDER``."""
    parser.add_argument(
        "--calibration", metavar="FOLDER",
        help="typical images to calibrate int8 with; needed once, since the quantised network is cached",
    )  # fmt: skip


def add_budget(parser: ArgumentParser) -> None:
    """``--max-macs``, ``--max-latency`` and ``--target-fps``, of commands that take the best of a front."""
    parser.add_argument(
        "--max-macs", type=counted, metavar="COUNT",
        help="use the best network of the model's front with at most this many multiply-adds, for example 1.5G",
    )  # fmt: skip
    parser.add_argument(
        "--max-latency", type=milliseconds, metavar="TIME",
        help="use the best network of the model's front that takes at most this time per image here, for example 20ms",
    )  # fmt: skip
    parser.add_argument(
        "--target-fps", type=rate, metavar="N",
        help="for a video: switch between the networks of the model's front to process N frames per second",
    )  # fmt: skip


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
        raise ArgumentTypeError(f"scales are comma-separated numbers, for example 0.75,1, got {text!r}") from None


def add_threads(parser: ArgumentParser) -> None:
    """``--threads N``; :func:`use_threads` obeys it."""
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: one per core)")


def use_threads(args: Namespace) -> None:
    """Set the number of threads that torch computes in to what was asked for."""
    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)


def rate(text: str) -> float:
    """A number above 0."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise ArgumentTypeError(f"a number above 0 is needed, for example 15, got {text!r}")


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
