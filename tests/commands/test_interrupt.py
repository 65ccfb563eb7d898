"""Ctrl-C while a command is still importing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scalenet.runtime import interrupt

ROOT = Path(__file__).parents[2]
PACKAGE = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(30)
"""
SWALLOWS = """
try:
    import slow
except BaseException as e:
    raise ImportError(f"a package that says it in its own words: {e!r}")
"""
SCRIPT = "import sys\nfrom scalenet.cli import main\nsys.exit(main())\n"


def interrupted(tmp_path, *command):
    """A command whose torch is a package in whose import Ctrl-C comes."""
    (tmp_path / "slow.py").write_text(PACKAGE)
    (tmp_path / "torch.py").write_text(SWALLOWS)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("module", ["scalenet.cli", "training", "search"])
def test_a_module_ends_without_a_word(tmp_path, module):
    done = interrupted(tmp_path, "-m", module, "list")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_command_ends_without_a_word(tmp_path):
    (tmp_path / "scalenet").write_text(SCRIPT)
    done = interrupted(tmp_path, tmp_path / "scalenet", "list")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_somebody_elses_program_is_left_alone(tmp_path):
    (tmp_path / "theirs.py").write_text("import scalenet\n")
    done = interrupted(tmp_path, tmp_path / "theirs.py")
    assert done.returncode == 1 and "in its own words: KeyboardInterrupt()" in done.stderr


def test_once_a_command_runs_it_is_an_exception_again(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/scalenet"])
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt.quiet_imports()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        interrupt.imports_done()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
