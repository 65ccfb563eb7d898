"""torch.hub: the same names as timm's registry, from a folder and from a clone laid out as torch.hub's cache has it."""

import importlib.util
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import scalenet

ROOT = Path(__file__).parents[2]
PREDICTORS = {"segmenter", "pose_estimator"}


@pytest.fixture(scope="module")
def hubconf():
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public(module):
    return {k for k, v in vars(module).items() if callable(v) and not k.startswith("_")}


def test_entries_are_the_registry(hubconf):
    assert public(hubconf) == set(scalenet.list_models()) | PREDICTORS


def test_entries_help_and_take_the_same_keywords(hubconf):
    for name in public(hubconf):
        entry = getattr(hubconf, name)
        assert len(inspect.getdoc(entry)) > 80 and "Args:" in entry.__doc__ and entry.__name__ == name
    model = hubconf.scalenet_s1(num_classes=5, in_chans=4)
    assert model.num_classes == 5 and model.in_chans == 4
    with pytest.raises(TypeError):
        hubconf.scalenet_s1(nonsense=1)
    with pytest.raises(scalenet.NoWeights):
        hubconf.scalenet_s1(pretrained=True)


def test_dependencies_are_import_names_that_are_there_and_used(hubconf):
    assert all(importlib.util.find_spec(name) for name in hubconf.dependencies)
    text = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("]")[0]
    named = {d.split(">")[0].strip(' ",\n') for d in text.split(",") if d.strip()}
    pip = {"opencv-python-headless": "cv2"}
    assert {pip.get(n, n) for n in named} == set(hubconf.dependencies)


def test_local_source_gives_timms_network():
    model = torch.hub.load(str(ROOT), "scalenet", source="local", arch="scalenet_p1", num_classes=3)
    assert isinstance(model, scalenet.ScaleNet) and model.arch.name == "scalenet_p1"


@pytest.fixture
def clone(tmp_path):
    """A git clone of the package as it is, where torch.hub's cache has that of someone/scalenet:main."""
    origin, cache = tmp_path / "origin", tmp_path / "hub" / "someone_scalenet_main"
    left_out = shutil.ignore_patterns("__pycache__", "*.front.safetensors")
    shutil.copytree(ROOT / "scalenet", origin / "scalenet", ignore=left_out)
    shutil.copy(ROOT / "hubconf.py", origin)
    git = f"git -C '{origin}' -c user.name=a -c user.email=a@b.c -c gc.auto=0"
    script = f"{git} init -q && {git} add . && {git} commit -qm all && {git} clone -q . '{cache}'"
    done = subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return cache


def test_list_and_help_from_a_clone_in_the_cache(tmp_path, clone):
    """``torch.hub.list`` and ``help`` know GitHub alone; with the clone in the cache they read that."""
    assert (clone / ".git").is_dir()
    code = (
        "import torch; torch.hub.set_dir('hub'); k = dict(trust_repo=True, skip_validation=True);"
        "names = torch.hub.list('someone/scalenet:main', **k); print(len(names), 'scalenet_p4_bottomup' in names);"
        "print(torch.hub.help('someone/scalenet:main', 'scalenet_s0', **k)[:20]);"
        "print(type(torch.hub.load('someone/scalenet:main', 'scalenet_p3', **k)).__name__)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert lines == [f"{len(scalenet.list_models()) + 2} True", "ScaleNet-S0, this pr", "ScaleNet"], out.stdout
