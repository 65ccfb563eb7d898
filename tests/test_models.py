"""timm's habits, for every registered name, by the kind of tests timm runs on its own models.

The published networks are large: shapes are tried on the meta device, numbers on the small ones.
"""

import functools

import pytest
import timm
import torch

import scalenet
from scalenet.heads import BottomUpOutput

NAMES = [n for n in scalenet.list_models() if n != "scalenet"]
SMALL = ["scalenet_s0"]


def outputs(y):
    return list(y) if isinstance(y, tuple) else [y]


@functools.cache
def on_meta(name: str) -> scalenet.ScaleNet:
    """The network without memory, built once."""
    with torch.device("meta"):
        return timm.create_model(name).eval()


@pytest.fixture
def meta():
    with torch.device("meta"):
        yield


def test_names_and_tags():
    assert {f"scalenet_{k}{i}" for k in "ps" for i in (1, 2, 3, 4)} <= set(NAMES)
    assert set(scalenet.list_models("*_bottomup")) == {f"scalenet_p{i}_bottomup" for i in (1, 2, 3, 4)}
    assert set(NAMES) <= set(timm.list_models("scalenet*"))
    assert all("." in n for n in scalenet.list_models(pretrained=True) if n not in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_default_cfg_is_true(name):
    model = on_meta(name)
    cfg = model.pretrained_cfg
    assert cfg["architecture"] == name and cfg["num_classes"] == model.num_classes
    assert cfg["input_size"] == (3, *model.arch.input_size) or model.task == "bottomup"
    names = [cfg["classifier"]] if isinstance(cfg["classifier"], str) else cfg["classifier"]
    assert tuple(names) == model.classifier_names and cfg["first_conv"] + ".weight" in model.state_dict()
    for n in names:
        model.get_submodule(n)
    config = timm.data.resolve_model_data_config(model)
    assert config["input_size"] == cfg["input_size"] and config["mean"] == cfg["mean"]
    assert model.labels is not None and len(model.labels.names) == model.num_classes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 96), (97, 131)])
def test_forward_shapes(name, size, meta):
    model = on_meta(name)
    h, w = -(-size[0] // 4), -(-size[1] // 4)
    y = model(torch.empty(2, 3, *size))
    k = model.num_classes
    if model.task == "segmentation":
        assert y.shape == (2, k, *size)
    elif model.task == "pose":
        assert y.shape == (2, k, h, w)
    else:
        assert isinstance(y, BottomUpOutput)
        assert [tuple(t.shape) for t in y] == [(2, k, h, w), (2, k, h, w), (2, k, 2 * h, 2 * w)]
    features = model.forward_features(torch.empty(2, 3, *size))
    assert features.shape == (2, model.num_features, h, w)
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size, h, w)


@pytest.mark.parametrize("name", NAMES)
def test_features_only(name, meta):
    model = timm.create_model(name, features_only=True)
    maps = model(torch.empty(1, 3, 64, 96))
    info = model.feature_info
    assert info.reduction() == [4, 8, 16, 32]
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // r, 96 // r) for c, r in zip(info.channels(), info.reduction(), strict=True)
    ]
    assert not any(p for p in model.state_dict() if "last_layer" in p or "final_layer" in p or "bottomup" in p)
    if name in ("scalenet_p1", "scalenet_s1"):
        some = timm.create_model(name, features_only=True, out_indices=(0, -1))
        assert [m.shape[1] for m in some(torch.empty(1, 3, 64, 96))] == [info.channels()[0], info.channels()[3]]


@pytest.mark.parametrize("name", NAMES)
def test_reset_classifier_and_in_chans(name, meta):
    model = timm.create_model(name, in_chans=4, num_classes=5).eval()
    assert model.get_classifier() is not None and model.num_classes == 5 and model.labels is None
    assert all(o.shape[1] == 5 for o in outputs(model(torch.empty(1, 4, 32, 32))))
    model.reset_classifier(0)
    assert model(torch.empty(1, 4, 33, 64)).shape == (1, model.num_features, 9, 16)
    model.reset_classifier(3)
    assert all(o.shape[1] == 3 for o in outputs(model(torch.empty(1, 4, 32, 32))))
    with pytest.raises(ValueError, match="global_pool"):
        model.reset_classifier(3, "avg")


@pytest.mark.parametrize("name", ["scalenet_p1", "scalenet_p2", *SMALL])
def test_gradients_reach_what_is_read(name):
    model = timm.create_model(name)
    sum(o.square().mean() for o in outputs(model(torch.randn(2, 3, 64, 64)))).backward()
    missing = [k for k, p in model.named_parameters() if p.grad is None]
    unread = unread_parameters(model)
    assert set(missing) == unread
    assert bool(unread) == (name in ("scalenet_p1", "scalenet_p2"))


def unread_parameters(model) -> set[str]:
    """Parameters on no way from the picture to the head, found backwards over the declared encoding."""
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


@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_channels_last_and_batches_change_nothing(name):
    model = timm.create_model(name).eval()
    x = torch.randn(2, 3, 61, 90)
    y = model(x)
    torch.testing.assert_close(model(x[1:])[0], y[1], rtol=1e-4, atol=1e-4)
    last = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_intermediates_agree_with_the_forward_pass(name):
    model = timm.create_model(name).eval()
    x = torch.randn(1, 3, 64, 64)
    final, maps = model.forward_intermediates(x)
    torch.testing.assert_close(final, model.forward_features(x))
    only = timm.create_model(name, features_only=True, out_indices=(1, 2)).eval()
    only.model.load_state_dict({k: v for k, v in model.state_dict().items() if "last_layer" not in k})
    for a, b in zip(only(x), maps[1:3], strict=True):
        torch.testing.assert_close(a, b)


def test_errors_help():
    with pytest.raises(TypeError, match="nonsense"):
        scalenet.create_model("scalenet_s0", nonsense=1)
    with pytest.raises(LookupError, match="did you mean scalenet_s1"):
        scalenet.create_model("scalenet_s11")
    with pytest.raises(LookupError, match="there is camvid"):
        scalenet.create_model("scalenet_s0.cityscapes")
    with pytest.raises(scalenet.NoWeights, match="convert the authors' file superscalenet_seg_w32"):
        scalenet.create_model("scalenet_s1", pretrained=True)
    with pytest.raises(RuntimeError, match="hf-hub"):
        timm.create_model("scalenet_p2", pretrained=True)
    with pytest.raises(TypeError, match="needs arch"):
        timm.create_model("scalenet")
