"""What commands set before torch is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalenet.runtime import entry

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
LOAD = (  # the file alone: of the package torch would come along
    f"import importlib.util as u; s = u.spec_from_file_location('entry', {entry.__file__!r}); "
    "m = u.module_from_spec(s); s.loader.exec_module(m); m.sleep_at_barriers()"
)
LOOK = f"import os; print(*(os.environ.get(n, '-') for n in {VARIABLES}), 'torch' in sys.modules)"


@pytest.mark.parametrize("argv0, given, said", [
    ("/usr/bin/scalenet", {}, ["PASSIVE", entry.SPINS, "False"]),
    ("/usr/bin/scalenet", {"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", "-", "False"]),
    ("/usr/bin/scalenet", {"GOMP_SPINCOUNT": "7"}, ["-", "7", "False"]),
    (str(Path(entry.__file__).parents[2] / "training" / "__main__.py"), {}, ["PASSIVE", entry.SPINS, "False"]),
    ("/home/me/my_script.py", {}, ["-", "-", "False"]),
])  # fmt: skip
def test_threads_sleep_in_our_commands_alone_where_nothing_was_said(argv0, given, said):
    code = f"import sys; sys.argv = [{argv0!r}]; {LOAD}; {LOOK}"
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == said


def test_the_command_sets_them_before_torch_is_imported():
    code = f"import sys; sys.argv = ['scalenet']; import scalenet; {LOOK}"
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    root = Path(entry.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["PASSIVE", entry.SPINS, "False"]
