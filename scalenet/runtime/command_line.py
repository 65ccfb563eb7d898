"""What every command line of this project shares: its parser, its one-line errors and warnings, its whole numbers."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

EXPECTED = (ValueError, LookupError, OSError, ImportError)  # what a user can mend


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose every subcommand takes ``--json``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False)
        self.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class MainParser(argparse.ArgumentParser):
    """The parser of the bare command; its errors are one line too."""

    error = CommandParser.error


def warning_line(message: Warning | str, *_: object) -> str:
    """A warning as the command lines print it, without the place in the code."""
    return f"warning: {' '.join(str(message).split())}\n"


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, got {text!r}")
    return int(text)
