"""The authors' files: every published network from a supernet, all forms of a checkpoint, HRNet weights."""

import json
import os

import numpy as np
import pytest
import timm
import torch

from scalenet import cli
from scalenet.archs.arch import Arch, SearchSpace
from scalenet.models import convert
from scalenet.models.checkpoint import WeightsError, read_weights
from scalenet.models.factory import load_model
from scalenet.models.pretrained import ARCHS, find_entry
from scalenet.nn.network import ScaleNet

from .. import reference_supernet
from ..conftest import TINY
from .test_mask_files import PUBLISHED, Hostile, masks_of

TINY_SPACE = SearchSpace("pose", 8, (64, 64), **TINY)


def random_state(space: SearchSpace) -> dict[str, torch.Tensor]:
    """A supernet's entries as after training: no statistic at its starting value."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in ScaleNet(space.supernet()).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {}
    for k, shape in shapes.items():
        fan = max(1, int(np.prod(shape[1:])))
        value = torch.rand(shape, generator=generator) - 0.5
        if k.endswith("running_var"):
            value = value + 1
        elif len(shape) == 1 and k.endswith("weight"):
            value = 0.5 * value + 0.5
        elif len(shape) == 4:
            value = value * (8 / fan) ** 0.5
        state[k] = torch.tensor(5) if k.endswith("tracked") else value
    return state


@pytest.fixture(scope="module", params=[("pose", 32), ("pose", 48), ("segmentation", 32), ("segmentation", 48)])
def supernet(request, tmp_path_factory):
    task, width = request.param
    state = random_state(SearchSpace(task, width, (64, 64)))
    path = tmp_path_factory.mktemp("authors") / f"superscalenet_{task}_w{width}.pth"
    torch.save({"state_dict": {f"module.model.{k}": v for k, v in state.items()}, "best": np.float64(0.5)}, path)
    yield task, width, state, path
    path.unlink()


@torch.inference_mode()
def test_every_published_network_equals_the_masked_supernet(supernet, tmp_path):
    task, width, state, path = supernet
    x = torch.randn(1, 3, 64, 96)
    for name in PUBLISHED:
        arch = Arch.load(ARCHS / f"{name}.json")
        if (arch.task, arch.width) != (task, width):
            continue
        out = tmp_path / f"{name}.safetensors"
        convert.convert_checkpoint(path, out, arch, find_entry(name))
        model = load_model(out)
        got = model.forward_head(model.forward_features(x))
        wanted = reference_supernet.forward(state, x, masks_of(arch))
        assert (got - wanted).norm() / wanted.norm() < 1e-5
        assert torch.equal(timm.create_model(name, checkpoint_path=str(out)).eval()(x), model(x))
        out.unlink()


@pytest.fixture
def tiny(tmp_path):
    arch = TINY_SPACE.hrnet().replace(name="tiny")
    (tmp_path / "tiny.json").write_text(arch.to_json())
    return arch, random_state(TINY_SPACE)


FORMS = {
    "bare": lambda s: s,
    "wrapped": lambda s: {"state_dict": s},
    "both prefixes": lambda s: {f"module.model.{k}": v for k, v in s.items()},
    "the other way": lambda s: {"state_dict": {f"model.module.{k}": v for k, v in s.items()}},
    "training": lambda s: {
        "state_dict": {**{f"model.{k}": v for k, v in s.items()}, "loss.criterion.weight": torch.ones(3)},
        "best_mIoU": np.float64(0.8), "epoch": 3, "seen": np.int64(7), "optimizer": {"param_groups": [{"lr": 0.1}]},
    },
    "without counters": lambda s: {k: v for k, v in s.items() if "tracked" not in k},
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_a_checkpoint(tiny, tmp_path, form, zipped):
    arch, state = tiny
    path = tmp_path / "supernet.pth"
    torch.save(FORMS[form](state), path, _use_new_zipfile_serialization=zipped)
    if not zipped:  # numpy's module names of that time
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    result = convert.convert_checkpoint(path, tmp_path / "out.safetensors", arch)
    written, metadata = read_weights(tmp_path / "out.safetensors")
    assert result["needs_recalibration"] and "recalibrate" in metadata["batchnorm"]
    assert all(torch.equal(v, state[k]) for k, v in written.items() if "tracked" not in k)
    assert Arch.from_json(metadata["arch"]) == arch and load_model(tmp_path / "out.safetensors").num_classes == 17


def test_the_command_warns_and_writes(tiny, tmp_path, capsys):
    _, state = tiny
    torch.save(state, tmp_path / "supernet.pth")
    out = tmp_path / "out.safetensors"
    argv = ["convert", str(tmp_path / "supernet.pth"), "--arch", str(tmp_path / "tiny.json"), "-o", str(out), "--json"]
    assert cli.main(argv) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["needs_recalibration"] and "python -m training recalibrate" in printed.err


def test_a_files_own_statistics_stand(tiny, tmp_path):
    arch, state = tiny
    with torch.device("meta"):
        own = ScaleNet(arch).state_dict()
    torch.save({k: state[k] for k in own}, tmp_path / "finetuned.pth")
    result = convert.convert_checkpoint(tmp_path / "finetuned.pth", tmp_path / "o.safetensors", arch)
    assert not result["needs_recalibration"]
    p2 = find_entry("scalenet_p2")
    assert convert.needs_recalibration(arch, p2, state, "superscalenet_pose_w32_256x192.pth")
    assert not convert.needs_recalibration(arch, p2, state, "scalenet_P2_w32_256x192.pth")


def test_an_imagenet_supernet_gives_a_backbone(tiny, tmp_path):
    arch, state = tiny
    backbone = {k: v for k, v in state.items() if not k.startswith("final_layer")}
    extra = {"incre_modules.0.0.conv1.weight": torch.ones(2), "final_layer.0.weight": torch.ones(2),
             "classifier.weight": torch.ones(5, 2)}  # fmt: skip
    torch.save(backbone | extra, tmp_path / "imagenet.pth")
    result = convert.convert_checkpoint(tmp_path / "imagenet.pth", tmp_path / "o.safetensors", arch)
    model = load_model(tmp_path / "o.safetensors")
    assert not result["head"] and model.num_classes == 0 and model(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: {k.replace("layers_2", "layers"): v for k, v in s.items()}, r"missing, the first is .*unexpected"),
        (lambda s: {k: torch.cat([v, v]) if v.ndim == 4 else v for k, v in s.items()}, "has shape"),
        (lambda s: {k.replace("final_layer", "last_layer.3"): v for k, v in s.items()}, r"final_layer.*last_layer"),
        (lambda s: {"something": torch.ones(1)}, "something"),
        (lambda s: {"epoch": 3}, "no tensors by name"),
        (lambda s: [1, 2], "no tensors by name"),
    ],
)  # fmt: skip
def test_other_files_are_named(tiny, tmp_path, change, words):
    arch, state = tiny
    torch.save(change(state), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=words):
        convert.convert_checkpoint(tmp_path / "x.pth", tmp_path / "o.safetensors", arch)
    assert not (tmp_path / "o.safetensors").exists()


def test_another_number_of_joints_is_refused_for_a_published_network(tmp_path):
    with torch.device("meta"):
        names = ScaleNet(Arch.load(ARCHS / "scalenet_p3.json"), num_classes=14).state_dict()
    state = {k: torch.zeros(()).expand(v.shape) for k, v in names.items()}
    with pytest.raises(WeightsError, match=r"final_layer.weight has shape \(14,"):
        convert.select_network(state, Arch.load(ARCHS / "scalenet_p3.json"), 17)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda k: f"_orig_mod.{k}",
        lambda k: f"module._orig_mod.model.{k}",
        lambda k: f"_orig_mod.module.{k}",
        lambda k: k.replace("branches.", "branches._orig_mod.module."),
    ],
)
def test_wrappers_are_undone_in_any_order_at_any_depth(tiny, tmp_path, wrap):
    arch, state = tiny
    torch.save({wrap(k): v for k, v in state.items()}, tmp_path / "x.pth")
    convert.convert_checkpoint(tmp_path / "x.pth", tmp_path / "o.safetensors", arch)
    again = load_model(tmp_path / "o.safetensors").state_dict()
    assert all(torch.equal(again[k], v) for k, v in state.items() if k in again)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_executed(tiny, tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": tiny[1], "x": Hostile()}, "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="safely"):
        convert.read_checkpoint("x.pth")
    assert not os.path.exists("pwned")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(50), b"\x80\x02" + bytes(100)])
def test_no_checkpoint_at_all(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pth"):
        convert.read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_checkpoint_is_said_to_be_one_wherever_it_ends(tiny, tmp_path, zipped):
    torch.save({"state_dict": {k: v for k, v in list(tiny[1].items())[:3]}}, tmp_path / "w.pth",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    data = (tmp_path / "w.pth").read_bytes()
    for end in range(1, len(data), max(1, len(data) // 60)):
        (tmp_path / "x.pth").write_bytes(data[:end])
        with pytest.raises(WeightsError, match=r"x\.pth"):
            convert.read_checkpoint(tmp_path / "x.pth")


# -- HRNet -------------------------------------------------------------------------------------------------------
@torch.inference_mode()
def test_timms_hrnet_weights_and_features(tmp_path):
    other = timm.create_model("hrnet_w32").eval()
    for m in other.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.uniform_(-0.2, 0.2)
            m.running_var.uniform_(0.5, 1.5)
    torch.save(other.state_dict(), tmp_path / "hrnet.pth")
    convert.convert_checkpoint(tmp_path / "hrnet.pth", tmp_path / "o.safetensors", Arch.hrnet(32, task="segmentation"))
    features = timm.create_model("hrnet_w32", features_only=True, feature_location="", out_indices=(1, 2, 3, 4)).eval()
    features.load_state_dict(other.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 96, dtype=torch.float64)  # random weights make large numbers: rounding is no difference
    mine = load_model(tmp_path / "o.safetensors").double().forward_intermediates(x, intermediates_only=True)
    for a, b in zip(mine, features.double()(x), strict=True):
        assert (a - b).norm() / b.norm() < 1e-9
    s1 = Arch.load(ARCHS / "scalenet_s1.json")
    with pytest.raises(
        WeightsError, match=r"missing, the first is .*unexpected, the first is stage2\.0\.fuse_layers\."
    ):
        convert.convert_checkpoint(tmp_path / "hrnet.pth", tmp_path / "x.safetensors", s1)


def test_a_start_for_training(tiny, tmp_path):
    """The authors' ImageNet supernets and timm's HRNet begin a supernet; heads are left out by shape and name."""
    from training.start import load_start

    _, state = tiny
    torch.save({f"module.{k}": v for k, v in state.items() if "final_layer" not in k}, tmp_path / "imagenet.pth")
    supernet = ScaleNet(TINY_SPACE.supernet())
    assert load_start(supernet, tmp_path / "imagenet.pth") == len(state) - 2
    assert torch.equal(supernet.stage4[0].branches[0][0].conv1.weight, state["stage4.0.branches.0.0.conv1.weight"])
    hrnet = {k.replace("fuse_layers_2", "fuse_layers"): v for k, v in state.items() if "fuse_layers_1" not in k}
    four = SearchSpace("pose", 8, (64, 64), **TINY | {"depths": (4, 4)})
    torch.save(hrnet, tmp_path / "hrnet.pth")
    start = ScaleNet(four.supernet())
    load_start(start, tmp_path / "hrnet.pth", partial=True)  # it has one fusion of four
    path = "stage4.0.fuse_layers_%s.0.1.0.weight"
    assert torch.equal(start.state_dict()[path % 4], state[path % 2])
