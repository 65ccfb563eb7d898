"""Exported files compute what the network does, at sizes and batches they were not traced at."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from scalenet.data.labels import CAMVID, COCO
from scalenet.engines import export as export_module
from scalenet.engines.export import ExportError, export
from scalenet.nn.fuse import fold

from ..small_networks import small_network


@pytest.mark.parametrize("task, labels", [("segmentation", CAMVID), ("pose", COCO), ("bottomup", COCO)])
@torch.inference_mode()
def test_folding_changes_nothing_but_the_layers(task, labels):
    net = small_network(task, labels)
    keys = set(net.state_dict())
    folded = fold(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert set(net.state_dict()) == keys
    x = torch.randn(2, 3, 70, 49)
    for a, b in zip(*(y if task == "bottomup" else [y] for y in (net(x), folded(x))), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_onnx_with_any_batch_and_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'scalenet[export]'")
    net = small_network(depths=(1, 1))
    result = export(net, tmp_path / "out" / "net.onnx")
    assert result["format"] == "onnx" and result["max_difference"] < 1e-4
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["net.onnx"]
    session = onnxruntime.InferenceSession(result["path"], providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["logits"]
    for batch, size in ((1, (32, 32)), (2, (37, 130)), (1, (1, 1)), (1, (5, 33))):
        x = torch.randn(batch, 3, *size)
        (got,) = session.run(None, {"images": x.numpy()})
        np.testing.assert_allclose(got, net(x), rtol=1e-2, atol=1e-3)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"])["names"] == list(CAMVID.names)
    assert json.loads(metadata["input_size"]) == [64, 80] and len(json.loads(metadata["mean"])) == 3


@torch.inference_mode()
def test_pt2_of_a_network_with_three_outputs(tmp_path):
    net = small_network("bottomup", COCO, depths=(1, 1))
    path = export(net, tmp_path / "net.pt2")["path"]
    extra = {"task": ""}
    program = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra["task"]) == "bottomup"
    for size in ((75, 62), (33, 33)):
        x = torch.randn(2, 3, *size)
        for a, b in zip(net(x), program(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-4)
    with pytest.raises(AssertionError, match=">= 33"):  # what the network takes, torch's program refuses
        program(torch.randn(1, 3, 32, 64))


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_pt2_program", lambda *_: b"wrong")
    monkeypatch.setattr(export_module, "_load_pt2", lambda path: lambda x: [torch.zeros(len(x), 11, *x.shape[2:])])
    with pytest.raises(ExportError, match="differ"):
        export(small_network(), tmp_path / "net.pt2")
    monkeypatch.setattr(export_module, "_load_pt2", lambda path: lambda x: [x])
    with pytest.raises(ExportError, match="the exported output is"):
        export(small_network(), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="onnx, pt2"):
        export(small_network(), tmp_path / "net.tflite")
    net = small_network()
    net.reset_classifier(0)
    with pytest.raises(ValueError, match="num_classes=0"):
        export(net, tmp_path / "net.pt2")
