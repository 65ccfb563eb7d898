"""Ctrl-C while a command is still importing: it ends with 130 and without a word."""

import os
import signal
from types import FrameType

from .entry import is_command

IMPORTING = "<frozen importlib._bootstrap>"


def quiet_imports() -> None:
    """Let Ctrl-C end the process while it imports, if it is the ``scalenet`` command or a command of this checkout."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def imports_done() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, in lazy imports too: there may be something to tidy up."""
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupted(number: int, frame: FrameType | None) -> None:
    at = frame
    while at is not None:
        if at.f_code.co_filename == IMPORTING:
            os._exit(130)  # some packages turn what is raised in their imports into text of their own
        at = at.f_back
    signal.default_int_handler(number, frame)
