"""What engines run computes what the network does: fusion paths merged, unread ones left out, images as they are."""

import copy

import pytest
import torch

import scalenet
from scalenet.data.images import to_input
from scalenet.data.labels import CAMVID, COCO
from scalenet.models.factory import load_model
from scalenet.models.preprocessing import model_input
from scalenet.models.pretrained import TABLE
from scalenet.nn.fuse import Folded, fold
from scalenet.nn.merge import MergedModule, merge_paths

from ..small_networks import sample_image, small_network

SHIPPED = sorted(f"{entry.name}.{entry.tag}" for entry in TABLE if entry.file)


def outputs_of(y):
    return (y,) if isinstance(y, torch.Tensor) else tuple(y)


@pytest.mark.parametrize("name", SHIPPED)
@torch.inference_mode()
def test_shipped_networks_compute_the_same_from_uint8_at_any_size(name):
    net = load_model(name)
    ready = Folded(fold(net), full_size=True, statistics=model_input(net)[1])
    for size in ((96, 128), (75, 101), (33, 32)):
        image = sample_image(*size)[None]
        expected = outputs_of(net(to_input(image, torch.device("cpu"), **model_input(net)[1])))
        got = ready(torch.from_numpy(image).permute(0, 3, 1, 2))
        for a, b in zip(expected, got, strict=True):
            assert a.shape == b.shape and (a - b).abs().max() <= 1e-4 * a.abs().max()


@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
@torch.inference_mode()
def test_merged_networks_hold_what_runs_and_compute_the_same(task):
    net = small_network(task, CAMVID if task == "segmentation" else COCO)
    folded = fold(net)
    before, merged = copy.deepcopy(folded.state_dict()), merge_paths(folded)
    kinds = [m for n in (2, 3, 4) for m in getattr(merged, f"stage{n}")]
    assert all(isinstance(m, MergedModule) for m in kinds)
    assert any(len(widths) > 1 for m in kinds for widths in m.widths.values())
    assert len(list(merged.modules())) < len(list(folded.modules()))
    for size in ((64, 96), (37, 50)):
        x = torch.randn(2, 3, *size)
        for a, b in zip(outputs_of(folded(x)), outputs_of(merged(x)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert before.keys() == folded.state_dict().keys()
    assert all(torch.equal(v, before[k]) for k, v in folded.state_dict().items())
    with pytest.raises(RuntimeError, match="made ready for what its own head reads"):
        merged.stage4[-1]([None] * 4, ())


def test_a_module_with_a_hook_is_not_merged_and_the_hook_is_called():
    net, seen = small_network("pose", COCO, (64, 64)), []
    path = next(net.stage4[0].paths())
    path.register_forward_hook(lambda *_: seen.append(1))
    net.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0].abs().max().item()))
    scalenet.PoseEstimator(net, "cpu", detector=None, flip=False)(sample_image(64, 64))
    assert sorted(seen)[0] == 1 and 1 < sorted(seen)[-1] < 3  # normalised, as the network itself takes it


class Own(scalenet.ScaleNet):
    """Gives its images back, a quarter as large."""

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 4)


@torch.inference_mode()
def test_a_network_of_its_own_kind_gets_normalised_images():
    net = Own(small_network("pose", COCO).arch, task="pose", num_classes=3)
    statistics = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.5)}
    image = sample_image(32, 32)[None]
    wanted = net(to_input(image, torch.device("cpu"), **statistics))
    got = Folded(fold(net), statistics=statistics)(torch.from_numpy(image).permute(0, 3, 1, 2))[0]
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_resized_images_are_taken_in_floats(dtype):
    net = small_network()
    statistics = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.5)}
    ready = Folded(fold(net), statistics=statistics).in_dtype(dtype)
    x = torch.from_numpy(sample_image(64, 80)[None]).permute(0, 3, 1, 2)
    assert torch.equal(ready(x)[0], ready(x.float())[0]) and ready.centre.dtype == torch.float32
    wanted = Folded(fold(net))(to_input(x.permute(0, 2, 3, 1).numpy(), x.device, **statistics))[0]
    assert (ready(x)[0].float() - wanted).abs().max() <= (1e-4 if dtype == torch.float32 else 0.05) * wanted.abs().max()
