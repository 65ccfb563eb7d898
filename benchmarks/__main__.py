"""Run every script of this folder in a process of its own and print one table."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Exit status 1 if a script failed."""
    here = Path(__file__).parent
    failed = []
    for name in sorted(m.name for m in pkgutil.iter_modules([str(here)]) if not m.name.startswith("_")):
        print(f"-- python -m benchmarks.{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=here.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
