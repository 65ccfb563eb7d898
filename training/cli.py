"""How the command lines of training and search run, and what their errors look like."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from scalenet.runtime.command_line import EXPECTED, MainParser, warning_line
from scalenet.runtime.errors import one_line
from scalenet.runtime.interrupt import imports_done

from . import distributed
from .checks import TrainingError
from .signals import Terminated


def recipe_parser(
    prog: str, description: str | None, about: str, recipes: Iterable[str], fields: str
) -> tuple[argparse.ArgumentParser, Any]:
    """A parser whose first command is ``run RECIPE [key=value ...]``, and the subparsers for others beside it.

    Args:
        about: what ``run`` does.
        fields: what the recipe's overrides are.
    """
    parser = MainParser(prog=prog, description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help=about)
    run.add_argument("recipe", help=f"one of {', '.join(recipes)}")
    run.add_argument("overrides", nargs="*", metavar="key=value", help=fields)
    return parser, commands


def run_command(
    parser: argparse.ArgumentParser,
    commands: Mapping[str, Callable[[argparse.Namespace], None]],
    shared: Collection[str],
    stopped: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Run one of ``commands`` and return the exit status.

    It is 2 for anything the user can fix, after one line on stderr, 0 when SIGTERM ended a run, 130 when Ctrl-C did.

    Args:
        shared: commands of all processes under torchrun; the first runs the others, by itself.
        stopped: what to say after Ctrl-C.
    """
    warnings.formatwarning = warning_line  # type: ignore[assignment]
    args = parser.parse_args(argv)
    imports_done()
    if args.command not in shared and not distributed.is_rank0():
        return 0
    try:
        commands[args.command](args)
    except (*EXPECTED, TrainingError) as e:
        if isinstance(e, (KeyError, IndexError)):  # a fault of ours
            raise
        print(f"error: {one_line(e)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as e:
        print(stopped, file=sys.stderr)
        return 0 if isinstance(e, Terminated) else 130
    finally:
        distributed.stop()
    return 0
