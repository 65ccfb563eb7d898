"""Every script of benchmarks/ can be imported and has what the table of all of them asks for."""

import importlib
import pkgutil

import pytest

import benchmarks

SCRIPTS = [m.name for m in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "__main__"])
def test_a_script_can_be_imported(name):
    script = importlib.import_module(f"benchmarks.{name}")
    assert name.startswith("_") or callable(getattr(script, "measure", None) or script.main)
