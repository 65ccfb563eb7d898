"""The app from start to end: what it offers, what it removes, its command and its Space folder."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from scalenet import cli, demo
from scalenet.app import networks
from scalenet.app.handlers import warm
from scalenet.app.inputs import parse_boxes
from scalenet.app.networks import Networks
from scalenet.data.images import save_image

from ..small_app import connect, free_port, running, send, tiny_models
from ..small_networks import sample_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "street.png"
    save_image(path, sample_image(120, 160))
    return path


def test_boxes_as_text():
    assert parse_boxes(" \n ") is None and parse_boxes(None) is None
    np.testing.assert_array_equal(parse_boxes("1,2;3 4"), [[1, 2, 4, 6, 1]])


def test_too_large_uploads_are_refused(models, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "MAX_FILE_SIZE", "1mb")
    with running({"pose": models["pose"]}, tmp_path) as url:
        before = sorted(tmp_path.rglob("*"))
        answer = httpx.post(f"{url}gradio_api/upload", files={"files": ("p.png", bytes(2_000_000))})
        assert answer.status_code == 413 and "maximum allowed size" in answer.text
        assert sorted(tmp_path.rglob("*")) == before


def test_visitors_who_come_together_load_a_network_once(monkeypatch, models):
    built = []
    monkeypatch.setattr(networks, "_build", lambda *a: (time.sleep(0.1), built.append(a)))
    offered = Networks({"pose": models["pose"]})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: offered.predictor("pose", "tiny_pose"), range(8)))
    assert len(built) == 1


def test_uploads_and_results_are_removed_after_a_while_and_examples_stay(models, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "CLEANING", (1, 6))
    kept = tmp_path / "gradio"
    with running({"pose": models["pose"]}, kept) as url:
        before = {p for p in kept.rglob("*") if p.is_file()}
        assert {"grace_hopper.jpg"} <= {p.name for p in before}
        connect(url, tmp_path / "downloads").predict(send(photo), api_name="/pose")
        assert len({p for p in kept.rglob("*") if p.is_file()} - before) >= 4
        deadline = time.monotonic() + 60
        while {p for p in kept.rglob("*") if p.is_file()} != before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert {p for p in kept.rglob("*") if p.is_file()} == before


def test_networks_that_do_not_exist_are_told_before_the_app_starts(models, tmp_path):
    with pytest.raises(ValueError, match="task must be one of segmentation, pose, bottomup, got 'poses'"):
        Networks({"poses": []})
    with pytest.raises(FileNotFoundError, match=r"no\.safetensors"):
        Networks({"pose": [tmp_path / "no.safetensors"]})
    with pytest.raises(LookupError, match="did you mean scalenet_s"):
        Networks({"segmentation": ["scalenet_so"]})
    with pytest.raises(ValueError, match="two networks are called tiny_pose"):
        Networks({"pose": models["pose"], "bottomup": models["pose"]})
    assert Networks().names("segmentation") == ["scalenet_s0.camvid", "scalenet_s0.person"]


def test_a_task_without_weights_says_so(tmp_path):
    with running({"segmentation": ["scalenet_s0"]}, tmp_path) as url:
        assert "No weights for this task" in httpx.get(f"{url}config").text
        endpoints = connect(url, tmp_path).view_api(return_format="dict")["named_endpoints"]
        assert set(endpoints) == {"/segment", "/video"}


def test_the_command_serves_until_it_is_told_to_stop_and_leaves_nothing(photo, tmp_path):
    place, port = tmp_path / "place", free_port()
    (place / "tmp").mkdir(parents=True)
    env = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    env |= {"TMPDIR": str(place / "tmp"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "scalenet.cli", "demo", "--port", str(port), "--json"]
    with subprocess.Popen(command, cwd=place, env=env, stdout=-1, stderr=-1, text=True) as process:
        try:
            line = process.stderr.readline()
            assert f"ready at http://127.0.0.1:{port}/" in line, line + process.stderr.read()
            connect(f"http://127.0.0.1:{port}/", tmp_path / "d").predict(send(photo), api_name="/segment")
            files = {p.relative_to(place).parts[:2] for p in place.rglob("*") if p.is_file()}
            assert files and all(name.startswith("scalenet-demo-") for _, name in files)
        finally:
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in err
    assert json.loads(out) == {"url": f"http://127.0.0.1:{port}/"}
    assert not [p for p in place.rglob("*") if p.is_file()]


def test_it_warms_up_with_every_task_and_leaves_nothing(models, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    offered, asked = Networks(models), []
    original = offered.ask
    monkeypatch.setattr(offered, "ask", lambda network, *args: (asked.append(network), original(network, *args))[1])
    warm(offered)
    assert [type(network) for network in asked] == list(networks.PREDICTORS.values())
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_is_missing_or_taken(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["demo", "--port", str(taken.getsockname()[1])]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["demo", "--port", "70000"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert cli.main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "pip install gradio" in err


def test_the_space_folder():
    text = (ROOT / "demo" / "README.md").read_text()
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    assert front["sdk"] == "gradio" and front["sdk_version"] == pins["gradio"]
    assert (ROOT / "demo" / front["app_file"]).is_file() and len(front["short_description"]) <= 60
    wanted = (ROOT / "demo" / "requirements.txt").read_text().strip()
    assert re.fullmatch(r"scalenet\[demo\] @ git\+https://\S+/scalenet", wanted), (
        "on PyPI the name is another project's"
    )
    assert (ROOT / "demo" / "app.py").read_text().count("\n") <= 3
