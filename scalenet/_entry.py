"""Whether this process is one of our commands, and what is set for those before torch is there."""

import os
import sys
from pathlib import Path

SPINS = "1000"  # turns that a thread waits awake for the others: some microseconds, then it sleeps


def is_command() -> bool:
    """Whether this process is the ``scalenet`` command, or one of this checkout such as ``python -m training``."""
    program = Path(sys.argv[0] if sys.argv else "").absolute()
    as_module = program.name == "__main__.py" and program.parent.parent == Path(__file__).parents[1]
    return program.stem == "scalenet" or "scalenet.cli" in sys.orig_argv[1:3] or as_module


def sleep_at_barriers() -> None:
    """Let OpenMP's threads sleep where they wait for each other, in a command whose user has not said how they wait.

    By default they turn on the spot. Beside another busy process one of two is often off its core, and the other burns
    its own until the first is back: a network then takes many times as long.
    """
    if is_command() and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=SPINS)
