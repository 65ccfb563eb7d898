"""Whether this process is one of our commands, and what is set for those before torch is there."""

import os
import sys
from itertools import pairwise
from pathlib import Path

MODULES = ("scalenet", "scalenet.cli")
SPINS = "1000"  # turns that a thread waits awake for the others: some microseconds, then it sleeps


def is_scalenet() -> bool:
    """Whether this process is the ``scalenet`` command, under that name or as ``python -m scalenet``.

    While Python looks for a module that it is to run it has "-m" for the program's name.
    """
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    named = (option[:1] + option[-1:] == "-m" and module in MODULES for option, module in pairwise(sys.orig_argv))
    return Path(program).stem == "scalenet" or (program == "-m" and any(named))


def is_command() -> bool:
    """Whether this process is the ``scalenet`` command, or one of this checkout such as ``python -m training``."""
    program = Path(sys.argv[0] if sys.argv else "").absolute()
    as_module = program.name == "__main__.py" and program.parent.parent == Path(__file__).parents[2]
    return is_scalenet() or as_module


def sleep_at_barriers() -> None:
    """Let OpenMP's threads sleep where they wait for each other, in a command whose user has not said how they wait.

    By default they turn on the spot. Beside another busy process one of two is often off its core, and the other burns
    its own until the first is back: a network then takes many times as long.
    """
    if is_command() and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=SPINS)
