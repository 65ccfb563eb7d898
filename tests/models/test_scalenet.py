"""timm's habits, for every registered name, by the kind of tests timm runs on its own models.

Each network is built once with real parameters and tried on small images of odd sizes.
"""

import subprocess
import sys

import pytest
import timm
import torch

import scalenet
from scalenet.models import pretrained
from scalenet.nn.heads import BottomUpOutput

NAMES = [n for n in scalenet.list_models() if n != "scalenet"]
UNREAD = {  # what no heatmap reads, though the published architectures declare it
    "scalenet_p1": {"stage4.2.branches.1.3", "stage4.2.fuse_layers_3.1.3"},
    "scalenet_p2": {"stage4.2.branches.1.4", *(f"stage4.2.fuse_layers_4.1.{k}" for k in (0, 2, 3))},
    "scalenet_p0": {"stage4.0.branches.2.2", "stage4.0.fuse_layers_2.2.1"},
}


def outputs(y):
    return list(y) if isinstance(y, tuple) else [y]


@pytest.fixture(scope="module", params=NAMES)
def model(request) -> scalenet.ScaleNet:
    """A registered network with random weights, shared by the tests of its name."""
    return timm.create_model(request.param).eval()


def test_names_and_tags():
    assert {f"scalenet_{k}{i}" for k in "ps" for i in (1, 2, 3, 4)} <= set(NAMES)
    assert set(scalenet.list_models("*_bottomup")) == {n for n in NAMES if n.endswith("_bottomup")}
    assert {f"scalenet_p{i}_bottomup" for i in (1, 2, 3, 4)} <= set(NAMES)
    assert set(NAMES) <= set(timm.list_models("scalenet*"))
    assert all("." in n for n in scalenet.list_models(pretrained=True) if n not in NAMES)
    assert scalenet.list_models("scalenet_s0", pretrained=True) == ["scalenet_s0.camvid", "scalenet_s0.person"]
    assert scalenet.list_models("resnet*") == []


def test_default_cfg_is_true(model):
    cfg = model.pretrained_cfg
    assert cfg["architecture"] in NAMES and cfg["num_classes"] == model.num_classes
    assert cfg["input_size"] == (3, *model.arch.input_size) or model.task == "bottomup"
    names = [cfg["classifier"]] if isinstance(cfg["classifier"], str) else cfg["classifier"]
    assert tuple(names) == model.classifier_names and cfg["first_conv"] + ".weight" in model.state_dict()
    for n in names:
        model.get_submodule(n)
    config = timm.data.resolve_model_data_config(model)
    assert config["input_size"] == cfg["input_size"] and config["mean"] == cfg["mean"]
    assert model.labels is not None and len(model.labels.names) == model.num_classes


@torch.inference_mode()
def test_forward_at_an_odd_size(model):
    """Forward = features then head; features = the intermediates; nothing depends on the rest of the batch."""
    x = torch.randn(2, 3, 61, 37)
    y, k, (h, w) = model(x), model.num_classes, (16, 10)
    if model.task == "segmentation":
        assert y.shape == (2, k, 61, 37)
    elif model.task == "pose":
        assert y.shape == (2, k, h, w)
    else:
        assert isinstance(y, BottomUpOutput)
        assert [tuple(t.shape) for t in y] == [(2, k, h, w), (2, k, h, w), (2, k, 2 * h, 2 * w)]
    assert all(torch.isfinite(t).all() for t in outputs(y))
    features, maps = model.forward_intermediates(x)
    assert features.shape == (2, model.num_features, h, w)
    torch.testing.assert_close(features, model.forward_features(x))
    assert [(m.shape[1], m.shape[2]) for m in maps] == [
        (i["num_chs"], -(-61 // i["reduction"])) for i in model.feature_info
    ]
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size, h, w)
    if model.task == "segmentation":
        logits = torch.nn.functional.interpolate(model.forward_head(features), size=(61, 37), mode="bilinear")
        torch.testing.assert_close(logits, y)
    for a, b in zip(outputs(model(x[1:])), outputs(y), strict=True):
        torch.testing.assert_close(a[0], b[1], rtol=1e-3, atol=1e-4 * b.abs().max().item())


@torch.no_grad()
def test_channels_last_changes_nothing(model):
    x = torch.randn(1, 3, 64, 96)
    y = outputs(model(x))
    model.to(memory_format=torch.channels_last)
    last = outputs(model(x.contiguous(memory_format=torch.channels_last)))
    model.to(memory_format=torch.contiguous_format)
    for a, b in zip(last, y, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * b.abs().max().item())


def test_gradients_reach_what_is_read(model):
    name = model.pretrained_cfg["architecture"]
    model.zero_grad()
    sum(o.square().mean() for o in outputs(model.train()(torch.randn(2, 3, 33, 47)))).backward()
    without = {k for k, p in model.named_parameters() if p.grad is None}
    model.zero_grad()
    model.eval()
    assert without == unread_parameters(model)
    parts = {".".join(k.split(".")[:5]) for k in without}
    assert parts == UNREAD.get(name, UNREAD.get(name.removesuffix("_bottomup"), set()))


@torch.inference_mode()
def test_features_only(model):
    name = model.pretrained_cfg["architecture"]
    only = timm.create_model(name, features_only=True, out_indices=(0, -1)).eval()
    info, own = only.feature_info, only.model.state_dict()
    assert info.reduction() == [4, 32] and info.channels() == [model.arch.width, model.arch.width * 8]
    assert not any(k for k in own if k.startswith(("last_layer", "final_layer", "bottomup")))
    state = model.state_dict()
    only.model.load_state_dict({k: state[k] for k in own})
    x = torch.randn(1, 3, 64, 96)
    for a, b in zip(only(x), model.forward_intermediates(x, indices=(0, -1), intermediates_only=True), strict=True):
        torch.testing.assert_close(a, b)


@torch.inference_mode()
def test_reset_classifier_and_in_chans(model):
    name = model.pretrained_cfg["architecture"]
    other = timm.create_model(name, in_chans=4, num_classes=5).eval()
    assert other.num_classes == 5 and other.labels is None
    x = torch.randn(1, 4, 33, 40)
    assert all(o.shape[1] == 5 for o in outputs(other(x)))
    other.reset_classifier(0)
    assert other(x).shape == (1, other.num_features, 9, 10)
    other.reset_classifier(3)
    assert all(o.shape[1] == 3 for o in outputs(other(x))) and other.get_classifier() is not None
    with pytest.raises(ValueError, match="global_pool"):
        other.reset_classifier(3, "avg")


def test_all_four_features_by_default():
    for name in ("scalenet_p3", "scalenet_s0"):
        only = timm.create_model(name, features_only=True)
        assert only.feature_info.reduction() == [4, 8, 16, 32] and len(only(torch.randn(1, 3, 64, 64))) == 4


@pytest.mark.slow
@torch.inference_mode()
def test_torch_export(model):
    x = torch.randn(1, 3, 61, 90)
    program = torch.export.export(model, (x,)).module()
    for a, b in zip(outputs(program(x)), outputs(model(x)), strict=True):
        torch.testing.assert_close(a, b)


def unread_parameters(model) -> set[str]:
    """Parameters on no way from the image to the head, found backwards over the declared architecture."""
    live, unread = set(model.head_branches), set()
    for stage in (4, 3, 2):
        for m in reversed(range(len(model.arch.stages[stage - 2]))):
            module = model.arch.stages[stage - 2][m]
            for d in reversed(range(module.steps)):
                reached = {k for j in live for k in module.sources(j, d)}
                for j in range(stage):
                    prefix = f"stage{stage}.{m}.fuse_layers_{d + 1}.{j}."
                    if j not in live:
                        unread |= {k for k, _ in model.named_parameters() if k.startswith(prefix)}
                live |= reached
                for j in set(range(stage)) - live:
                    prefix = f"stage{stage}.{m}.branches.{j}.{d}."
                    unread |= {k for k, _ in model.named_parameters() if k.startswith(prefix)}
        if stage > 2 and stage - 1 in live:
            live = live - {stage - 1} | {stage - 2}
    return unread


def test_errors_help():
    with pytest.raises(TypeError, match="nonsense"):
        scalenet.create_model("scalenet_s0", nonsense=1)
    with pytest.raises(LookupError, match="did you mean scalenet_s1"):
        scalenet.create_model("scalenet_s11")
    with pytest.raises(LookupError, match="there is camvid"):
        scalenet.create_model("scalenet_s0.cityscapes")
    with pytest.raises(scalenet.NoWeights, match="convert the authors' superscalenet_seg_w32"):
        scalenet.create_model("scalenet_s1", pretrained=True)
    with pytest.raises(RuntimeError, match="hf-hub"):
        timm.create_model("scalenet_p2", pretrained=True)
    with pytest.raises(scalenet.NoWeights, match=r"architecture of your own.*local-dir"):
        timm.create_model("scalenet", arch="hrnet_w32", pretrained=True)
    with pytest.raises(TypeError, match="needs arch"):
        timm.create_model("scalenet")


def test_hrnet_is_of_the_task_asked_for():
    pose = scalenet.create_model("scalenet", arch="hrnet_w8", task="pose")
    assert pose.arch.task == "pose" and pose.pretrained_cfg["input_size"] == (3, 256, 192)
    assert scalenet.create_model("scalenet", arch="hrnet_w8", task="bottomup").arch.task == "pose"
    assert scalenet.create_model("scalenet", arch="hrnet_w8").arch.task == "segmentation"


@pytest.mark.parametrize("name", ["scalenet_s0", "scalenet_p0", "scalenet_p0_bottomup"])
@pytest.mark.parametrize("given", [{"arch": "scalenet_p1"}, {"task": "pose"}])
def test_a_registered_name_is_one_network(name, given):
    with pytest.raises(TypeError, match=f"{name} has its own {next(iter(given))}"):
        scalenet.create_model(name, **given)


def test_device_and_dtype_as_timm_hands_them_on():
    model = timm.create_model("scalenet_s0", device="cpu", dtype=torch.bfloat16, pretrained=True)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert timm.create_model("scalenet_s0", device="meta").conv1.weight.is_meta


def test_weights_of_a_file_are_adapted_to_an_encoding_of_ones_own():
    entry = next(e for e in pretrained.TABLE if e.name == "scalenet_s0")
    file = {"file": str(entry.path), "num_classes": 11}
    plain = scalenet.create_model("scalenet_s0", pretrained=True)
    other = scalenet.create_model(
        "scalenet", arch=plain.arch, num_classes=5, in_chans=1, pretrained=True, pretrained_cfg_overlay=file
    )
    assert other.pretrained_cfg["classifier"] == "last_layer.3" and other.num_classes == 5
    torch.testing.assert_close(other.conv1.weight, plain.conv1.weight.sum(1, keepdim=True), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(other.conv2.weight, plain.conv2.weight)


def test_rooms_of_the_package_are_there_without_being_imported():
    code = "import scalenet; assert callable(scalenet.predict.group_keypoints) and callable(scalenet.demo.build_demo)"
    subprocess.run([sys.executable, "-c", code], check=True)
