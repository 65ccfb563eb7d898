"""What a newcomer types: the Makefile, the README and the continuous test say the same."""

import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scalenet.runtime import installation

ROOT = Path(__file__).parents[1]


def test_two_commands_do_everything():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("setup", "demo", "app", "test", "bench", "docs", "lint"):
        assert re.search(rf"^{target}:", makefile, re.M), target
        assert f"make {target}" in readme, target
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake test")


def test_demo_segments_the_sample_into_a_folder_git_ignores():
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "scalenet segment --sample -m scalenet_s0 -o out/demo" in done.stdout
    assert "scalenet pose --sample -m scalenet_p0 -o out/demo" in done.stdout
    assert "out/" in (ROOT / ".gitignore").read_text().split()


def test_constraints_pin_what_the_project_asks_for():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    assert pins["torch"] == "2.14.1" and pins["torchvision"] == "0.29.1"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [r for name, rs in project["optional-dependencies"].items() if name != "all" for r in rs]
    normal = {name.lower().replace("_", "-") for name in pins}
    for requirement in project["dependencies"] + extras:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")
        assert name in normal, f"constraints.txt does not pin {name}"


def test_a_broken_pair_of_wheels_is_told_in_one_sentence(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ImportError, match=r"torchvision does not fit torch .*nms.*pip install torch==") as error:
        installation.check_torchvision()
    assert "\n" not in str(error.value)
