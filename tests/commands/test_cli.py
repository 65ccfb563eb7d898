"""The command line: results as files, text and JSON; every wrong input is one line and exit status 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from scalenet import cli
from scalenet.archs import cost
from scalenet.archs.arch import Arch
from scalenet.commands import segment as segment_command
from scalenet.data import samples
from scalenet.data.images import save_image

from ..conftest import status_of
from ..small_data import camvid_form
from ..small_networks import sample_image, small_network, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    return write(small_network(), tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "street.png"
    save_image(path, sample_image(64, 80))
    return path


def as_json(capsys, *argv) -> dict:
    """Run with ``--json``; stdout must be one JSON object and nothing else."""
    assert cli.main([*map(str, argv), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def fails(capsys, *argv) -> str:
    """Run what is wrong: status 2, nothing on stdout, one line on stderr, which is returned."""
    status = status_of(cli.main, [*map(str, argv)])
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_every_command_is_there_and_has_help(capsys):
    shared = {"__init__", "batch", "clip", "inputs", "keypoint_file", "options"}
    modules = {p.stem for p in (ROOT / "scalenet" / "commands").glob("*.py")} - shared
    assert modules == set(cli.COMMANDS)
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as done:
            cli.main([name, "--help"])
        assert done.value.code == 0 and "--json" in capsys.readouterr().out


def test_only_the_chosen_command_is_imported():
    code = (
        "import sys; from scalenet.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print([n for n in sys.modules if n.startswith(('scalenet.commands', 'scalenet.predict', 'scipy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0 and done.stderr == ""
    assert all(name in done.stdout for name in cli.COMMANDS) and done.stdout.rstrip().endswith("[]")


def test_list(capsys):
    models = {m["name"]: m for m in as_json(capsys, "list")["models"]}
    assert models["scalenet_p2"]["params"] == 35_614_321 and models["scalenet_p2"]["macs"] == 8_603_664_384
    assert models["scalenet_s1"]["reported"] == {"miou": 0.805} and "arch" not in models["scalenet_s1"]
    assert [m["name"] for m in as_json(capsys, "list", "scalenet_s[12]")["models"]] == ["scalenet_s1", "scalenet_s2"]
    assert all(m["weights"]["available"] for m in as_json(capsys, "list", "--pretrained")["models"])
    assert cli.main(["list"]) == 0
    assert "28,502,419" in capsys.readouterr().out


def test_info_of_a_registered_name(capsys):
    info = as_json(capsys, "info", "scalenet_p1_bottomup")
    assert info["task"] == "bottomup" and info["input_size"] == [512, 512] and info["width"] == 32
    assert info["arch"] == Arch.load(ROOT / "scalenet" / "archs" / "scalenet_p1.json").to_dict()
    assert as_json(capsys, "info", "scalenet_s1.cityscapes")["weights"]["available"] is False
    assert cli.main(["info", "scalenet_s1"]) == 0
    assert "25,349,139 parameters, 285.116 GMACs at 1024x2048" in capsys.readouterr().out


def test_info_of_a_file(capsys, weights):
    info, net = as_json(capsys, "info", weights), small_network()
    assert info["arch"] == net.arch.to_dict() and info["outputs"] == 11 and info["input_size"] == [64, 80]
    assert info["params"] == sum(p.numel() for p in net.parameters())


def test_segment_writes_an_overlay_and_a_mask(capsys, weights, photo, tmp_path):
    other = tmp_path / "other" / "street.jpg"
    other.parent.mkdir()
    cv2.imwrite(str(other), sample_image(90, 70))
    result = as_json(capsys, "segment", photo, other, "-m", weights, "-o", tmp_path / "out", "--batch-size", 2)
    assert [Path(i["mask"]).name for i in result["images"]] == ["street_mask.png", "street_2_mask.png"]
    for image, size in zip(result["images"], [(64, 80), (90, 70)], strict=True):
        mask = cv2.imread(image["mask"], cv2.IMREAD_UNCHANGED)
        assert mask.shape == size and image["size"] == list(size)
        shares = np.bincount(mask.ravel(), minlength=11) / mask.size
        np.testing.assert_allclose(image["shares"], shares, atol=1e-6)
        assert cv2.imread(image["overlay"]).shape[0] > size[0]
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_segment_says_what_it_found(capsys, weights, photo, tmp_path):
    options = ["--flip", "--scales", "1,0.5", "--window", "64x64", "--overlap", "0.5", "--device", "cpu"]
    assert cli.main(["segment", str(photo), "-m", str(weights), "-o", str(tmp_path / "out"), *options]) == 0
    out = capsys.readouterr().out
    mask = cv2.imread(str(tmp_path / "out" / "street_mask.png"), cv2.IMREAD_UNCHANGED)
    names = small_network().labels.names
    assert all(names[i] in out for i in np.unique(mask)) and str(tmp_path / "out" / "street_overlay.png") in out


def test_segment_the_sample_photograph(capsys, weights, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="pip install scikit-learn")
    result = as_json(capsys, "segment", "--sample", "-m", weights, "-o", tmp_path)
    assert result["images"][0]["size"] == [427, 640] and Path(result["images"][0]["image"]).name == "china.jpg"
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    assert "pip install scikit-learn" in fails(capsys, "segment", "--sample", "-m", weights, "-o", tmp_path)


def test_evaluate(capsys, weights, tmp_path):
    root = camvid_form(tmp_path / "camvid", train=1, val=3, classes=11)
    result = as_json(capsys, "evaluate", weights, "--dataset", "camvid", "--root", root, "--split", "val", "--limit", 2)
    assert result["images"] == 2 and 0 < result["miou"] < 1 and len(result["per_class"]) == 11
    assert as_json(capsys, "evaluate", weights, "--dataset", "camvid", "--root", root, "--flip")["flip"] is True
    assert cli.main(["evaluate", str(weights), "--dataset", "camvid", "--root", str(root), "--no-flip"]) == 0
    assert "bicyclist" in capsys.readouterr().out


def test_bench(capsys, weights):
    (row,) = as_json(capsys, "bench", weights, "--size", "64x64", "--seconds", 0.05)["results"]
    assert row["ms"] >= row["ms_min"] > 0 and row["runs"] >= 3
    assert row["macs"] == cost.count(small_network().arch, (64, 64), outputs=11).macs


def test_wrong_words(capsys):
    assert "invalid choice: 'segmnt'" in fails(capsys, "segmnt")
    assert "no image: give files" in fails(capsys, "segment")
    assert "did you mean scalenet_s1?" in fails(capsys, "info", "scalenet_s11")
    assert "unknown tag 'coco'" in fails(capsys, "info", "scalenet_s1.coco")
    assert "alone names no network" in fails(capsys, "info", "scalenet")
    assert "alone names no network" in fails(capsys, "bench", "scalenet")
    assert "too many pixels" in fails(capsys, "bench", "scalenet_s1", "--size", "100000x100000")
    assert "360x480" in fails(capsys, "bench", "scalenet_s1", "--size", "360")
    assert "at least 1" in fails(capsys, "segment", "x.png", "--batch-size", "0")
    assert "--dataset" in fails(capsys, "evaluate", "scalenet_s1", "--dataset", "imagenet", "--root", ".")


def test_wrong_files(capsys, weights, photo, tmp_path):
    out = tmp_path / "out"
    text = tmp_path / "text.png"
    text.write_text("not an image")
    assert "no image" in fails(capsys, "segment", tmp_path / "none.png", "-m", weights, "-o", out)
    assert "not an image" in fails(capsys, "segment", photo, text, "-m", weights, "-o", out, "--strict")
    assert "not an image" in fails(capsys, "segment", text, "-m", weights, "-o", out)
    assert "no weights file" in fails(capsys, "segment", photo, "-m", tmp_path / "none.safetensors")
    whole = weights.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in fails(capsys, "segment", photo, "-m", cut, "-o", out)
    assert not out.exists() or not list(out.iterdir())
    assert "text.png" in fails(capsys, "segment", photo, "-m", weights, "-o", text)
    root = camvid_form(tmp_path / "camvid", train=1, val=1)
    camvid = ["evaluate", "scalenet_s0", "--dataset", "camvid", "--root"]
    assert "looked for images/nowhere" in fails(capsys, *camvid, root, "--split", "nowhere")
    assert "scalenet convert" in fails(capsys, *camvid, root, "--checkpoint", tmp_path / "theirs.pth")


def test_hub_names_that_cannot_be_read(capsys, tmp_path):
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert "hf-hub:no/such" in fails(capsys, "info", "hf-hub:no/such")
    assert f"local-dir:{tmp_path}" in fails(capsys, "info", f"local-dir:{tmp_path}")


def test_networks_without_weights_name_the_ways_on(capsys, photo):
    assert "no weights are published for scalenet_s1" in fails(capsys, "segment", photo, "-m", "scalenet_s1")


def test_a_image_that_was_given_is_never_written_over(capsys, weights, photo, tmp_path, monkeypatch):
    for command, kind in (("segment", "mask"), ("pose", "pose")):
        own = photo.with_name(f"street_{kind}.png")
        save_image(own, sample_image(64, 80))
        before = own.read_bytes()
        err = fails(capsys, command, photo, own, "-m", weights, "-o", tmp_path)
        assert f"street_{kind}.png is one of the images given" in err and own.read_bytes() == before
    assert not list(tmp_path.glob("*_overlay.png"))


def test_names_of_files_and_folders_are_told_apart(capsys, photo, tmp_path):
    assert "scalenet convert alone" in fails(capsys, "segment", photo, "-m", "x.pth", "-o", tmp_path / "o")
    assert f"use local-dir:{tmp_path}" in fails(capsys, "info", tmp_path)
    assert not (tmp_path / "o").exists()


def test_no_memory_is_one_line(capsys, photo, tmp_path, monkeypatch):
    def starve(args):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(segment_command, "run", starve)
    assert "not enough memory" in fails(capsys, "segment", photo)


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    code = "import sys, scalenet.cli as c; sys.exit(c.main(['list', 'scalenet_s0']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141
