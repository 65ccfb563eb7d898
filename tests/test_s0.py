"""ScaleNet-S0, the network this project ships: offline, small, and right about what anybody can see."""

import json

import numpy as np
import pytest
import torch

import scalenet
from scalenet import cli, table, weights

from .small_data import photographs


def test_it_loads_offline_and_is_small():
    (entry,) = [e for e in table.TABLE if e.name == "scalenet_s0"]
    assert entry.is_file and entry.path.stat().st_size <= 4_000_000
    model = scalenet.create_model("scalenet_s0", pretrained=True)
    assert model.num_classes == 11 and model.labels.names[0] == "sky" and model.arch.input_size == (360, 480)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values() if v.is_floating_point())
    weights.verify(entry.path, entry.sha256)


def test_sky_is_above_and_trees_are_below():
    picture = photographs()[0]  # a pavilion between trees, under a clear sky
    result = scalenet.Segmenter("scalenet_s0", device="cpu")(picture)
    found = result.found()
    assert found.get("sky", 0) > 0.2 and found.get("tree", 0) + found.get("building", 0) > 0.2
    sky = result.mask == result.classes.index("sky")
    assert sky[:100, 350:].mean() > 0.8 and sky[-60:].mean() < 0.1
    assert np.isclose(result.shares.sum(), 1)


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
