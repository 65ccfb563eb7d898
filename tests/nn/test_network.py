"""The house's main promise: a static network with selected weights equals the supernet with it active."""

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from scalenet.archs.arch import ArchError, ModuleArch, SearchSpace
from scalenet.models.checkpoint import WeightsError, select
from scalenet.nn.heads import BottomUpHead, Head
from scalenet.nn.network import MultiResolutionModule, ScaleNet

from ..small_networks import small_network

KEYS = Path(__file__).parents[3] / "shared" / "reference"


def trained_looking(net: ScaleNet) -> ScaleNet:
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 2)
            nn.init.uniform_(m.weight, 0.5, 1.5)
    return net.eval()


def some_archs(space: SearchSpace):
    rng = random.Random(1)
    return [space.largest(), space.smallest(), space.hrnet(), *(space.sample(rng, fusion=f) for f in (0.2, 0.5, 0.8))]


@pytest.mark.parametrize("task", [None, "bottomup"])
@torch.inference_mode()
def test_static_equals_supernet(space, task):
    supernet = trained_looking(ScaleNet(space.supernet(), task=task, num_classes=5))
    x = torch.randn(2, 3, 70, 49)
    outputs = []
    for arch in some_archs(space):
        static = ScaleNet(arch, task=task, num_classes=5).eval()
        static.load_state_dict(select(supernet.state_dict(), static))
        with supernet.activated(arch):
            expected, got = supernet(x), static(x)
            for a, b in zip(*((y if task == "bottomup" else (y,)) for y in (expected, got)), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
            for a, b in zip(*(n.forward_intermediates(x)[1] for n in (supernet, static)), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        outputs.append(got[0] if task == "bottomup" else got)
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3), "activation must have an effect"
    assert supernet.active == space.supernet()


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (64, 96), (97, 131)])
@torch.inference_mode()
def test_any_size(space, size):
    h, w = -(-size[0] // 4), -(-size[1] // 4)
    x = torch.randn(1, 3, *size)
    out = ScaleNet(space.largest(), num_classes=5).eval()(x)
    assert out.shape == ((1, 5, *size) if space.task == "segmentation" else (1, 5, h, w))
    up = ScaleNet(space.largest(), task="bottomup", num_classes=5).eval()(x)
    assert up.heatmaps.shape == up.tags.shape == (1, 5, h, w) and up.heatmaps_x2.shape == (1, 5, 2 * h, 2 * w)


def test_other_networks_archs_are_refused(space):
    net = ScaleNet(space.smallest())
    with pytest.raises(ArchError, match="no sub-network"):
        net.activate(space.largest())
    big = ScaleNet(space.largest())
    with pytest.raises(WeightsError, match=r"missing, the first is"):
        select(net.state_dict(), big)


def test_unread_parts_do_not_run_in_a_pose_network():
    space = SearchSpace("pose", 8, (64, 64), 24, 16, (1, 1, 1), (2, 2))
    net, ran = ScaleNet(space.supernet()), set()
    for name, module in net.named_modules():
        module.register_forward_hook(lambda module, x, y, name=name: ran.add(name))
    net(torch.randn(2, 3, 32, 32))
    paths = {n for n in dict(net.named_modules()) if n.startswith("stage4.0.fuse_layers_2.") and n.count(".") == 4}
    assert len(paths) == 12 and ran & paths == {f"stage4.0.fuse_layers_2.0.{k}" for k in "123"}
    ran.clear()
    net.forward_branches(torch.randn(2, 3, 32, 32))
    assert ran & paths == paths, "all four branches are read"
    only = space.largest()
    alone = tuple(ModuleArch(m.depths, tuple(((),) * d for d in m.depths)) for m in only.stages[2])
    net.activate(only.replace(stages=(*only.stages[:2], alone)))
    ran.clear()
    net(torch.randn(2, 3, 32, 32))
    blocks = {n.split(".")[3] for n in ran if n.startswith("stage4.0.branches.")}
    assert blocks == {"0"}, "without paths only the branch of the head runs"
    assert "transition3.3" not in ran, "and a branch that nothing reads is not begun"


@torch.inference_mode()
def test_the_bottom_up_heads_outputs_are_heatmaps_then_tags_and_go_on_to_stride_2():
    head = BottomUpHead(8, 3).eval()
    x = torch.randn(1, 8, 4, 5)
    with torch.no_grad():
        head.stride4.weight.zero_()
        head.stride4.bias.copy_(torch.arange(6.0))
    out = head(x)
    assert [m[0, 0, 0].item() for m in out.heatmaps[0].unsqueeze(1)] == [0, 1, 2]
    assert [m[0, 0, 0].item() for m in out.tags[0].unsqueeze(1)] == [3, 4, 5]
    expected = head.stride2(head.blocks(head.up(torch.cat([x, out.heatmaps, out.tags], 1))))
    torch.testing.assert_close(out.heatmaps_x2, expected)
    for changed in (1, 4):  # a heatmap, a tag
        head.stride4.bias[changed] += 1
        assert (head(x).heatmaps_x2 - expected).abs().max() > 1e-5
        head.stride4.bias[changed] -= 1
    assert (head(x + 1).heatmaps_x2 - expected).abs().max() > 1e-5, "the features are read too"


def test_grad_checkpointing_changes_nothing(space):
    net = ScaleNet(space.largest()).train()
    x = torch.randn(2, 3, 64, 64)
    grads = []
    for enable in (False, True):
        net.set_grad_checkpointing(enable)
        net.zero_grad()
        net(x).square().mean().backward()
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.skipif(not KEYS.is_dir(), reason="the list of the authors' parameter names is not here")
@pytest.mark.parametrize("task, width", [("segmentation", 32), ("pose", 48)])
def test_parameter_names_and_shapes_are_the_authors(task, width):
    lines = (KEYS / f"keys_{task}_w{width}.txt").read_text().splitlines()
    with torch.device("meta"):
        net = ScaleNet(SearchSpace(task, width, (256, 256)).supernet())
    mine = {k: "x".join(map(str, v.shape)) or "scalar" for k, v in net.state_dict().items()}
    assert mine == dict(line.split() for line in lines)


@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
def test_backward_hooks_on_any_layer_change_nothing(task):
    """Grad-CAM's: activations and their gradients of every layer that gives a tensor."""
    net = small_network(task, depths=(1, 1))
    x, (plain, hooked), seen = torch.randn(1, 3, 64, 64), (None, None), {}

    def gradient():
        y = net(x)
        loss = sum(part.square().mean() for part in ([y] if isinstance(y, torch.Tensor) else y))
        return torch.autograd.grad(loss, net.conv1.weight)[0]

    plain = gradient()
    layers = {n: m for n, m in net.named_modules() if n and not isinstance(m, (nn.ModuleList, nn.ModuleDict))}
    layers = {n: m for n, m in layers.items() if not isinstance(m, (MultiResolutionModule, Head))}
    for name, layer in layers.items():
        layer.register_full_backward_hook(lambda m, into, out, name=name: seen.update({name: out[0]}))
    hooked = gradient()
    assert torch.equal(plain, hooked)
    assert {"bn1", "layer1.0.bn3", "layer1.0", "layer1.0.act3", "stage4.0.branches.0.0.bn2"} <= seen.keys()
    assert all(g is None or torch.isfinite(g).all() for g in seen.values())


@torch.no_grad()
def test_without_gradients_nothing_is_computed_another_way():
    net = small_network(depths=(1, 1))
    x = torch.randn(1, 3, 64, 64)
    with torch.enable_grad():
        recorded = net(x)
    assert torch.equal(net(x), recorded)
