"""Memory of processes, and numbers from a Python process of its own. Not a script: its name begins with ``_``."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path


def run(code: str, *argv: str) -> list[float]:
    """The numbers a Python process of its own prints."""
    return _numbers("-c", code, *argv)


def run_module(name: str, *argv: str) -> list[float]:
    """The numbers that ``python -m NAME`` prints."""
    return _numbers("-m", name, *argv)


def _numbers(*arguments: str) -> list[float]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def peak_mb() -> float:
    """The most that was ever resident in this process (what an exec'ed parent had does not count)."""
    peak = _status_mb("self", "VmHWM")
    return peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def resident_mb(pid: int | str = "self") -> float:
    """What is resident in a process now; 0 where that cannot be told."""
    return _status_mb(pid, "VmRSS")


def _status_mb(pid: int | str, field: str) -> float:
    status = Path(f"/proc/{pid}/status")
    return int(re.search(rf"{field}:\s+(\d+)", status.read_text())[1]) / 2**10 if status.is_file() else 0.0
