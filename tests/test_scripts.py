"""scripts/: every command line is one that its parser takes, and the way from data to a network leads to its end."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from scalenet.archs.arch import Arch
from scalenet.archs.cost import count
from search import gpu_hours
from search.__main__ import main as search
from training.__main__ import main as training

from .docs_commands import check
from .docs_pages import ROOT
from .small_crowds import lsp_form, stanford_form, things_form
from .small_data import camvid_form

SCRIPTS = sorted((ROOT / "scripts").glob("reproduce_*.sh"))
VARIANTS = [{}, {"TINY": "1"}, {"START": "start.pth", "LAUNCH": "torchrun --nproc-per-node 8"}]


def run(script, **variables):
    clean = {k: v for k, v in os.environ.items() if k not in ("START", "NET", "WIDTH", "MACS", "TINY", "DRY", "OUT")}
    environment = {**clean, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_every_command_line_is_understood(script):
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    choices = sorted(set(re.findall(r"^ +(p\d)\) WIDTH", script.read_text(), re.M)))
    nets = [{"NET": net} for net in choices] or [{"WIDTH": "32"}, {"WIDTH": "48"}]
    for variables in [{**v, **net} for v in VARIANTS for net in nets]:
        done = run(script, DATA="DATA", OUT="OUT", DRY="1", **variables)
        assert done.returncode == 0, done.stderr
        commands = [shlex.split(line) for line in done.stdout.splitlines()]
        assert len(commands) > 1
        for words in commands:
            if words[1:3] == ["-m", "scalenet.cli"]:
                words[:3] = ["scalenet"]
            check(words, online=False)
    assert "DATA is the folder" in run(script).stderr


def test_seven_scripts_and_hours_of_each():
    names = [script.stem.removeprefix("reproduce_") for script in SCRIPTS]
    assert names == ["cityscapes", "coco", "coco_bottomup", "crowdpose", "p0", "p0_bottomup", "s0"]
    text = gpu_hours.hours_table(312.0, 0.25)
    assert all((ROOT / "scripts" / script.split()[-1]).is_file() for script in gpu_hours.SCRIPTS)
    page = (ROOT / "docs/training.md").read_text()
    assert text in page, "docs/training.md is stale: python -m search.gpu_hours"
    stage = gpu_hours.training_stage(gpu_hours.get_training_recipe("coco_finetune_p2"))
    macs = count(Arch.load(ROOT / "scalenet/archs/scalenet_p2.json")).macs
    assert stage.operations == pytest.approx(6 * macs * 20 * 149813, rel=0.01)
    assert stage.hours(312.0, 0.25) == pytest.approx(stage.operations / (78e12 * 3600))


@pytest.mark.parametrize("name", ["s0", "p0"])
def test_the_way_leads_to_a_network(name, tmp_path, monkeypatch):
    """Training, packing and search run here, which imports once; the script finds them there and does the rest."""
    data, out = tmp_path / "data", tmp_path / "out"
    camvid_form(data / "camvid", 2, 2)
    things_form(data / "tiny_imagenet")
    stanford_form(data / "stanford40")
    lsp_form(data / "lsp", 2)
    script = ROOT / "scripts" / f"reproduce_{name}.sh"
    variables = {"DATA": str(data), "OUT": str(out), "TINY": "1", "PYTHON": sys.executable}
    *stages, deployment, evaluation = map(shlex.split, run(script, DRY="1", **variables).stdout.splitlines())
    assert deployment[2:4] == ["search", "deploy"] and evaluation[3] == "evaluate"
    monkeypatch.chdir(ROOT)
    for _, _, module, *arguments in stages:
        assert {"training": training, "search": search}[module](arguments) == 0
    first = run(script, **variables)
    assert first.returncode == 0, first.stderr[-2000:]
    assert first.stdout.count(" is there\n") == len(stages) > 4 and first.stdout.count("+ ") == 1
    metrics = json.loads(first.stdout.splitlines()[-1])
    assert metrics["images"] == 2 and (out / f"scalenet_{name}.json").is_file()
    again = run(script, **variables)
    assert again.returncode == 0 and again.stdout.count(" is there\n") == len(stages) + 1
    assert json.loads(again.stdout.splitlines()[-1]) == metrics
