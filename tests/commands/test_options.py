"""What a command is given reaches what it calls, value for value."""

import inspect
from argparse import ArgumentTypeError

import pytest

from scalenet import cli
from scalenet.archs.arch import Arch
from scalenet.commands import options
from scalenet.data.images import save_image
from scalenet.engines import export
from scalenet.evaluate import pose, segmentation
from scalenet.models import convert
from scalenet.models.pretrained import ARCHS
from scalenet.predict import bottomup, topdown
from scalenet.predict import segmentation as segmenter

from ..small_networks import sample_image


class Asked(Exception):
    """Raised instead of doing the work; carries the arguments by name."""


def stand_in(monkeypatch, module, name):
    """A function or class that only says what it was asked for."""
    signature = inspect.signature(getattr(module, name))

    def ask(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        raise Asked(dict(bound.arguments))

    monkeypatch.setattr(module, name, ask)


NO_BUDGET = {"max_macs": None, "max_latency_ms": None}
PLAIN = {"engine": "torch", "dtype": None, "calibration": None}
OPENVINO = {"engine": "openvino", "dtype": "int8", "calibration": "C"}
AS_OPENVINO = ("--engine", "openvino", "--dtype", "int8", "--calibration", "C")


def asked(*argv):
    with pytest.raises(Asked) as found:
        cli.main([*map(str, argv)])
    return found.value.args[0]


@pytest.fixture
def photo(tmp_path):
    return save_image(tmp_path / "a.png", sample_image(60, 80)) or tmp_path / "a.png"


def test_segment(monkeypatch, photo, tmp_path):
    stand_in(monkeypatch, segmenter, "Segmenter")
    plain = asked("segment", photo, "-o", tmp_path)
    wanted = {
        **PLAIN,
        **NO_BUDGET,
        "batch_size": 1,
        "flip": False,
        "scales": (1.0,),
        "window": None,
        "overlap": 0.25,
        "resize": True,
        "upsample": "logits",
        "probabilities": False,
    }
    assert plain == {"name_or_model": "scalenet_s0", "device": None, **wanted}
    options = ["--flip", "--scales", "0.5,1", "--window", "64x96", "--overlap", "0.5", "--full-size"]
    options += ["--upsample", "labels"]
    every = asked(
        "segment", photo, "-o", tmp_path, "-m", "x", "--device", "cpu", "--batch-size", 3, *options, *AS_OPENVINO
    )
    wanted = {
        **OPENVINO,
        **NO_BUDGET,
        "batch_size": 3,
        "flip": True,
        "scales": (0.5, 1.0),
        "window": (64, 96),
        "overlap": 0.5,
        "resize": False,
        "upsample": "labels",
        "probabilities": False,
    }
    assert every == {"name_or_model": "x", "device": "cpu", **wanted}


def test_pose(monkeypatch, photo, tmp_path):
    stand_in(monkeypatch, topdown, "PoseEstimator")
    stand_in(monkeypatch, bottomup, "BottomUpPoseEstimator")
    common = {
        **PLAIN,
        **NO_BUDGET,
        "device": None,
        "flip": True,
        "decode": None,
        "batch_size": 32,
        "detector": "bottomup",
    }
    assert asked("pose", photo, "-o", tmp_path) == {"name_or_model": "scalenet_p0", **common}
    options = ["--decode", "quarter", "--batch-size", 4, "--device", "cpu", "--detector"]
    every = asked("pose", photo, "-m", "x", "--no-flip", *options, "torchvision:y", *AS_OPENVINO)
    common = {
        **OPENVINO,
        **NO_BUDGET,
        "device": "cpu",
        "flip": False,
        "decode": "quarter",
        "batch_size": 4,
        "detector": "torchvision:y",
    }
    assert every == {"name_or_model": "x", **common}
    assert asked("pose", photo, "--detector", "none")["detector"] is None
    plain = asked("pose", photo, "--bottom-up")
    common = {**PLAIN, **NO_BUDGET, "device": None, "flip": False, "scales": (1.0,), "batch_size": 1}
    assert plain == {"name_or_model": "scalenet_p0_bottomup", **common}
    every = asked("pose", photo, "--bottom-up", "-m", "x", "--flip", "--scales", "1,2", "--batch-size", 4, *AS_OPENVINO)
    common = {**OPENVINO, **NO_BUDGET, "device": None, "flip": True, "scales": (1.0, 2.0), "batch_size": 4}
    assert every == {"name_or_model": "x", **common}


def test_a_bottomup_networks_name_says_enough(monkeypatch, photo, tmp_path):
    stand_in(monkeypatch, bottomup, "BottomUpPoseEstimator")
    assert asked("pose", photo, "-m", "scalenet_p0_bottomup.coco", "-o", tmp_path)["batch_size"] == 1


@pytest.mark.parametrize("dataset, module", [("camvid", segmentation), ("cityscapes", segmentation), ("lsp", pose),
                                             ("folder", segmentation), ("coco", pose), ("crowdpose", pose),
                                             ("stanford40", pose)])  # fmt: skip
def test_evaluate(monkeypatch, capsys, dataset, module):
    stand_in(monkeypatch, module, "evaluate")
    plain = asked("evaluate", "net", "--dataset", dataset, "--root", "R")
    head = {"name": "net", "dataset": dataset, "root": "R", "split": "val"}
    rest = {**PLAIN, "checkpoint": None, "limit": None, "flip": None, "device": None, "batch_size": None}
    assert plain == {**head, **rest}
    options = ["--split", "test", "--checkpoint", "w", "--limit", 5, "--no-flip", "--scales", "1,2", "--device", "cpu"]
    pose_only = {"boxes": "b.json", "decode": "quarter", "results": "r.json"}
    streets_only = {"prefix": "p", "upsample": "labels"}
    own, others = (streets_only, pose_only) if module is segmentation else (pose_only, streets_only)
    more = [w for key, value in own.items() for w in (f"--{key}", value)]
    every = asked(
        "evaluate", "net", "--dataset", dataset, "--root", "R", "--batch-size", 7, *options, *more, *AS_OPENVINO
    )
    rest = {
        **OPENVINO,
        "checkpoint": "w",
        "limit": 5,
        "flip": False,
        "device": "cpu",
        "batch_size": 7,
        "scales": (1.0, 2.0),
    }
    assert every == {**head, "split": "test", **rest, **own}
    for key, value in others.items():
        assert cli.main(["evaluate", "net", "--dataset", dataset, "--root", "R", f"--{key}", value]) == 2
        assert f"--{key} is for " in capsys.readouterr().err
    assert asked("evaluate", "net", "--dataset", dataset, "--root", "R", "--flip")["flip"] is True


def test_convert_and_export(monkeypatch, tmp_path):
    stand_in(monkeypatch, convert, "convert_checkpoint")
    published = Arch.load(ARCHS / "scalenet_s1.json")
    named = list(asked("convert", "c.pth", "--model", "scalenet_s1", "-o", "o.safetensors").values())
    assert named[:2] == ["c.pth", "o.safetensors"] and named[2].digest == published.digest
    assert named[3].name == "scalenet_s1" and not named[3].is_file
    hrnet = list(asked("convert", "c.pth", "--model", "hrnet_w32", "-o", "o.safetensors").values())
    assert hrnet[2].width == 32 and hrnet[3] is None
    (tmp_path / "a.json").write_text(published.to_json())
    own = list(asked("convert", "c.pth", "--arch", tmp_path / "a.json", "-o", "o.safetensors").values())
    assert own[2].digest == published.digest and own[3] is None
    stand_in(monkeypatch, export, "export")
    given = list(asked("export", "scalenet_p0", "--format", "pt2", "-o", "x.bin").values())
    assert given[0].task == "pose" and given[1:] == ["x.bin", "pt2", None]
    assert list(asked("export", "scalenet_p0", "-o", "x.onnx").values())[1:] == ["x.onnx", None, None]


def test_an_option_without_a_meaning_is_refused(photo, tmp_path, capsys):
    assert cli.main(["pose", str(photo), "--bottom-up", "--decode", "quarter", "-o", str(tmp_path)]) == 2
    assert "--decode is for top-down networks" in capsys.readouterr().err


@pytest.mark.parametrize("read, text, value", [
    (options.counted, "1.5G", 1_500_000_000), (options.milliseconds, "0.02s", 20.0), (options.milliseconds, "8", 8.0),
])  # fmt: skip
def test_limits(read, text, value):
    assert read(text) == value
    with pytest.raises(ArgumentTypeError, match="is needed, for example"):
        read("little")
