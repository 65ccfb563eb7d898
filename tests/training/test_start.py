"""What a training run begins with: how much of a file it took is said, and too little is refused."""

import random

import pytest
import torch

from scalenet.models.checkpoint import WeightsError, save_weights
from scalenet.models.convert import unwrapped
from scalenet.nn.network import ScaleNet
from training.checks import TrainingError
from training.recipes import get_recipe
from training.start import load_start, start_file, start_metadata

from ..small_training import SPACE


@pytest.fixture
def supernet():
    return ScaleNet(SPACE.supernet(), num_classes=3)


def saved(net, path, wrap="", keep=1.0):
    state = {f"{wrap}{k}": v for k, v in net.state_dict().items()}
    names = sorted(state)
    return save_weights(path, {k: state[k] for k in names[: round(keep * len(names))]}, {})


def test_a_part_of_a_supernet_is_taken_whole_and_another_head_does_not_count(supernet, tmp_path, capsys):
    file = saved(supernet, tmp_path / "net.safetensors", "module._orig_mod.")
    part = ScaleNet(SPACE.sample(random.Random(3)), num_classes=5)
    entries = len(part.state_dict())
    assert load_start(part, file) == entries - 2  # the classifier's two
    line = capsys.readouterr().err
    assert (
        line.count("\n") == 1
        and f"backbone entries from {file}; random: last_layer.3.weight, last_layer.3.bias" in line
    )
    taken, of, total = line.split()[1:4]
    assert (taken, of) == (total, "of")
    assert torch.equal(part.conv1.weight, supernet.conv1.weight)
    pretrained = ScaleNet(SPACE.supernet(), task="pose", num_classes=0)
    load_start(supernet, saved(pretrained, tmp_path / "backbone.safetensors"))
    assert "random: last_layer.0.weight" in capsys.readouterr().err


def test_too_little_is_refused_unless_the_recipe_says_so(supernet, tmp_path, capsys):
    file = saved(ScaleNet(SPACE.supernet(), num_classes=3), tmp_path / "net.safetensors", keep=0.6)
    before = supernet.conv1.weight.clone()
    with pytest.raises(
        TrainingError, match=r"init: \d+ of \d+ backbone .* and \d+ more: less than 90% .*init_partial=true"
    ):
        load_start(supernet, file)
    assert torch.equal(supernet.conv1.weight, before)
    load_start(supernet, file, partial=True)
    assert "random: " in capsys.readouterr().err and not torch.equal(supernet.conv1.weight, before)
    nothing = save_weights(tmp_path / "no.safetensors", {"x": torch.ones(1)}, {})
    with pytest.raises(TrainingError, match="init: 0 of"):
        load_start(supernet, nothing, partial=True)
    assert get_recipe("s0_teacher", ["init_partial=true"]).init_partial and not get_recipe("s0_teacher").init_partial


def test_a_start_can_be_a_name(tmp_path):
    assert start_file("scalenet_p0").name == "scalenet_p0.safetensors"
    assert start_file("scalenet_s0.person") == start_file(start_file("scalenet_s0.person"))
    assert start_metadata("scalenet_s0.camvid").init == "scalenet_s0.safetensors"
    with pytest.raises(LookupError, match="did you mean scalenet_p0"):
        start_file("scalenet_p00")
    with pytest.raises(FileNotFoundError, match=r"x\.pth"):
        load_start(ScaleNet(SPACE.smallest()), "x.pth")
    with pytest.raises(WeightsError):
        (tmp_path / "x.pth").write_bytes(b"no checkpoint")
        load_start(ScaleNet(SPACE.smallest()), tmp_path / "x.pth")


def test_names_without_wrappers():
    assert unwrapped("_orig_mod.module.model.stage2.0._orig_mod.branches") == "stage2.0.branches"
    assert unwrapped("module") == "module" and unwrapped("model.model.x") == "x"
