"""Networks in 8-bit integers: calibrated with images or not at all, near to what float32 gives, exported."""

import json

import numpy as np
import pytest
import torch

import scalenet
from scalenet.cli import main
from scalenet.data.images import ImageError, save_image
from scalenet.data.labels import CAMVID, COCO
from scalenet.engines import graph
from scalenet.engines.base import EngineError
from scalenet.engines.calibration import IMAGES, calibration_inputs
from scalenet.engines.export import export
from scalenet.engines.quantise import quantise

from ..small_networks import sample_image, small_network, write

ONNX = pytest.importorskip("onnx", reason="pip install 'scalenet[engines]'")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network("segmentation", CAMVID, (64, 64), (1, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few images, and one that lies deeper."""
    path = tmp_path_factory.mktemp("images")
    for i, size in enumerate(((64, 64), (60, 90), (100, 70))):
        save_image(path / f"{i}.png", sample_image(*size))
    (path / "deeper").mkdir()
    save_image(path / "deeper" / "x.jpg", sample_image(64, 80))
    return path


def test_int8_is_near_float_and_kept(net, folder, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("SCALENET_CACHE", str(tmp_path))
    image, plain = sample_image(64, 80), scalenet.Segmenter(net, "cpu")
    with pytest.raises(EngineError, match="int8 needs images to be calibrated with once: calibration=FOLDER"):
        scalenet.Segmenter(net, engine="openvino", dtype="int8")
    made = scalenet.Segmenter(net, engine="openvino", dtype="int8", calibration=folder)
    assert (made(image).mask == plain(image).mask).mean() > 0.8 and repr(made.engine) == "openvino, int8"
    monkeypatch.setattr("scalenet.engines.int8.quantise", None)  # from now on it is read
    for engine, given in (("onnxruntime", None), ("openvino", folder)):
        kept = scalenet.Segmenter(net, engine=engine, dtype="int8", calibration=given)
        assert (kept(image).mask == plain(image).mask).mean() > 0.8 and repr(kept.engine) == f"{engine}, int8"
        smaller = scalenet.Segmenter(net, engine=engine, dtype="int8", scales=(1.0, 0.5))
        assert smaller(image).mask.shape == (64, 80)
    (file,) = (tmp_path / graph.GRAPHS).glob("*-int8-*.onnx")
    model = ONNX.load(file)
    weights = {i.name: i for i in model.graph.initializer}
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    floats = [n for n in convs if n.input[1] in weights]
    assert len(floats) == 2 and floats[0] is convs[0] and floats[1] is convs[-1]  # all others read a dequantised weight
    axes = [len(weights[n.input[1]].dims) for n in model.graph.node if n.op_type == "DequantizeLinear"]
    assert 1 in axes  # a scale for each channel


def test_int8_that_cannot_be(net, tmp_path):
    for engine in ("torch", "compile"):
        with pytest.raises(EngineError, match=f"int8 runs in onnxruntime and openvino, not in engine {engine}"):
            scalenet.Segmenter(net, "cpu", engine=engine, dtype="int8")
    with pytest.raises(EngineError, match="images to calibrate with are for dtype int8, not float32"):
        scalenet.Segmenter(net, "cpu", dtype="float32", calibration=[sample_image(64, 64)])
    with pytest.raises(ImageError, match="no image in"):
        list(calibration_inputs(net, (64, 64), tmp_path))
    with pytest.raises(ImageError, match="got none"):
        quantise(b"", [])


@pytest.mark.parametrize("task, labels", [("segmentation", CAMVID), ("pose", COCO), ("bottomup", COCO)])
def test_what_a_network_sees_of_the_images_it_is_calibrated_with(task, labels):
    net = small_network(task, labels, (64, 64), (1, 1))
    shapes = [x.shape for x in calibration_inputs(net, (64, 64), [sample_image(50, 90), sample_image(200, 100)])]
    assert shapes == {
        "segmentation": [(1, 3, 64, 96), (1, 3, 96, 64)], "pose": [(1, 3, 64, 64)] * 2,
        "bottomup": [(1, 3, 64, 128), (1, 3, 128, 64)],
    }[task]  # fmt: skip


def test_few_images_of_a_large_folder_are_taken(net, tmp_path):
    for i in range(2 * IMAGES + 3):
        save_image(tmp_path / f"{i:03}.png", np.full((8, 8, 3), i, np.uint8))
    seen = [int(x[0, 0, 0, 0]) for x in calibration_inputs(net, (64, 64), tmp_path)]
    assert len(seen) == IMAGES and seen[0] == 0 and seen[-1] >= 2 * IMAGES - 2


def test_export_in_int8(net, folder, tmp_path, capsys):
    found = export(net, tmp_path / "a.onnx", calibration=folder)
    assert found["dtype"] == "int8" and 1e-4 < found["max_difference"] < 0.25
    props = {p.key: json.loads(p.value) for p in ONNX.load(tmp_path / "a.onnx").metadata_props}
    assert props["task"] == "segmentation" and "onnx.quant.pre_process" not in props
    with pytest.raises(ValueError, match="8-bit integers are for ONNX files, not for pt2"):
        export(net, tmp_path / "a.pt2", calibration=folder)
    file = write(net, tmp_path / "net.safetensors")
    assert main(["export", str(file), "--int8", "-o", str(tmp_path / "b.onnx")]) == 2
    assert "--int8 and --calibration FOLDER" in capsys.readouterr().err and not (tmp_path / "b.onnx").exists()
