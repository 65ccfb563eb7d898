"""Recalibrating a weights file, from the command line, on images of a folder or people of a keypoint set."""

import json

import pytest
import torch

from scalenet.archs.arch import SearchSpace
from scalenet.models.checkpoint import read_weights, save_weights
from scalenet.models.factory import load_model
from scalenet.nn.network import ScaleNet
from training.__main__ import main
from training.recalibrate import find_images, image_batches

from ..conftest import TINY
from ..small_data import camvid_form, photographs

import cv2  # isort: skip


def write_network(path, task):
    arch = SearchSpace(task, 8, (48, 64), **TINY).smallest()
    net = ScaleNet(arch, num_classes=3)
    save_weights(
        path,
        net.state_dict(),
        {"arch": arch.to_json(), "task": task, "batchnorm": "a supernet's", "figures": '{"x val": {}}'},
    )
    return path


def write_people(root):
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    cv2.imwrite(str(root / "images" / "a.png"), photographs()[0])
    people = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [40 * i, 30, 90, 160], "area": 9000, "iscrowd": 0,
         "keypoints": [40 * i + 20, 50, 2, 40 * i + 30, 90, 2, 40 * i + 50, 120, 2], "num_keypoints": 3}
        for i in (1, 2, 3)
    ]  # fmt: skip
    categories = [{"id": 1, "name": "person", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [2, 3]]}]
    images = [{"id": 1, "file_name": "a.png", "height": 427, "width": 640}]
    data = {"images": images, "annotations": people, "categories": categories}
    (root / "annotations" / "train.json").write_text(json.dumps(data))
    return root


@pytest.mark.parametrize("task", ["segmentation", "pose"])
def test_statistics_change_and_weights_do_not(tmp_path, task, capsys):
    file = write_network(tmp_path / "net.safetensors", task)
    data = camvid_form(tmp_path / "data") if task == "segmentation" else write_people(tmp_path / "data")
    before, _ = read_weights(file)
    assert main(["recalibrate", str(file), "--data", str(data), "--batches", "2", "-o", str(tmp_path / "new.st")]) == 0
    after, metadata = read_weights(tmp_path / "new.st")
    assert "recalibrated on 2 batches" in metadata["batchnorm"]
    assert "figures" not in metadata, "they were measured with other statistics"
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert "bn1.running_mean" in changed and all("running" in k or "tracked" in k for k in changed)
    (tmp_path / "new.st").rename(tmp_path / "new.safetensors")
    assert load_model(tmp_path / "new.safetensors").num_classes == 3


def test_the_splits_images_count_and_labels_do_not(tmp_path):
    root = camvid_form(tmp_path / "data", train=4, val=2)
    assert {p.parent.relative_to(root).as_posix() for p in find_images(root, "train")} == {"images/train"}
    (root / "images" / "val" / "._p0.jpg").write_bytes(b"an editor's")
    assert [p.name for p in find_images(root, "val")] == ["p0.jpg", "p1.jpg"]
    assert len(find_images(root, "nowhere")) == 6, "without folders of the split all images count"
    model = ScaleNet(SearchSpace("segmentation", 8, (48, 64), **TINY).smallest(), num_classes=3)
    first, again, other = (list(image_batches(model, root, "train", 3, 2, seed)) for seed in (0, 0, 1))
    assert [tuple(b.shape) for b in first] == [(2, 3, 64, 64)] * 3, "mirrored to whole cells"
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    images = {b.numpy().tobytes() for batch in first for b in batch}
    assert len(images) == 6, "four images, two of them twice, each time another part of them"


def test_bad_input_is_one_line(tmp_path, capsys):
    file = write_network(tmp_path / "net.safetensors", "segmentation")
    (tmp_path / "empty").mkdir()
    before = file.read_bytes()
    assert main(["recalibrate", str(file), "--data", str(tmp_path / "empty")]) == 2
    assert "no images" in capsys.readouterr().err and file.read_bytes() == before
    file.write_bytes(before[: len(before) // 2])
    assert main(["recalibrate", str(file), "--data", str(tmp_path / "empty")]) == 2
    assert "damaged" in capsys.readouterr().err
