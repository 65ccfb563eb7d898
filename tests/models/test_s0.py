"""ScaleNet-S0, the network this project ships: offline, small, and right about what anybody can see."""

import json

import numpy as np
import pytest
import torch

import scalenet
from scalenet import cli
from scalenet.data.samples import sample_portrait
from scalenet.models import checkpoint, pretrained

from ..small_data import photographs


def test_it_loads_offline_and_is_small():
    (entry,) = [e for e in pretrained.TABLE if (e.name, e.tag) == ("scalenet_s0", "camvid")]
    assert entry.is_file and entry.path.stat().st_size <= 4_000_000
    model = scalenet.create_model("scalenet_s0", pretrained=True)
    assert model.num_classes == 11 and model.labels.names[0] == "sky" and model.arch.input_size == (360, 480)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values() if v.is_floating_point())
    checkpoint.verify(entry.path, entry.sha256)


def test_sky_is_above_and_trees_are_below():
    image = photographs()[0]  # a pavilion between trees, under a clear sky
    result = scalenet.Segmenter("scalenet_s0", device="cpu")(image)
    found = result.found()
    assert found.get("sky", 0) > 0.2 and found.get("tree", 0) + found.get("building", 0) > 0.2
    sky = result.mask == result.classes.index("sky")
    assert sky[:100, 350:].mean() > 0.8 and sky[-60:].mean() < 0.1
    assert np.isclose(result.shares.sum(), 1)


def test_its_weights_for_people_come_by_their_tag(capsys):
    (entry,) = [e for e in pretrained.TABLE if (e.name, e.tag) == ("scalenet_s0", "person")]
    assert entry.is_file and entry.path.stat().st_size <= 4_000_000
    model = scalenet.create_model("scalenet_s0.person", pretrained=True)
    assert model.labels.names == ("background", "person") and model.arch == scalenet.create_model("scalenet_s0").arch
    assert cli.main(["info", "scalenet_s0.person", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["name"] == "scalenet_s0.person" and info["outputs"] == 2 and info["weights"]["available"]
    assert cli.main(["list", "scalenet_s0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["name"] for row in rows] == ["scalenet_s0", "scalenet_s0.person"]


def test_people_are_found_in_a_portrait():
    result = scalenet.Segmenter("scalenet_s0.person", device="cpu")(sample_portrait())
    person = result.mask == result.classes.index("person")  # she fills the middle; beside her is blue on the right
    h, w = person.shape
    assert person[h // 4 :, 2 * w // 5 : 3 * w // 5].mean() > 0.95
    assert person[: h // 2, 7 * w // 8 :].mean() < 0.05


def test_the_demo(capsys, tmp_path):
    assert cli.main(["segment", "--sample", "-m", "scalenet_s0", "-o", str(tmp_path), "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["size"] == [427, 640] and sum(image["shares"]) == pytest.approx(1, abs=1e-4)


def test_the_table_tells_the_truth(capsys):
    assert cli.main(["info", "scalenet_s0", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    model = scalenet.create_model("scalenet_s0")
    assert info["params"] == sum(p.numel() for p in model.parameters())
    assert info["input_size"] == [360, 480] and info["weights"]["available"]
