"""Counted costs equal the published table and the parameters of the built networks."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scalenet.archs import cost
from scalenet.archs.arch import Arch, SearchSpace
from scalenet.models.pretrained import ARCHS
from scalenet.nn.network import ScaleNet

PUBLISHED = {  # parameters, GMACs at the published input size
    "scalenet_p1": (28_483_633, 7.460), "scalenet_p2": (35_614_321, 8.604), "scalenet_p3": (26_167_729, 15.375),
    "scalenet_p4": (64_279_649, 34.993), "scalenet_s1": (25_349_139, 285.116), "scalenet_s2": (28_502_419, 332.302),
    "scalenet_s3": (58_501_555, 617.639), "scalenet_s4": (67_549_843, 723.259),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_to_the_last_parameter(name):
    arch = Arch.load(ARCHS / f"{name}.json")
    counted = cost.count(arch)
    assert counted.params == PUBLISHED[name][0]
    assert round(counted.macs / 1e9, 3) == PUBLISHED[name][1]
    with torch.device("meta"):
        built = ScaleNet(arch)
    assert sum(p.numel() for p in built.parameters()) == counted.params


@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
@pytest.mark.parametrize("outputs", [0, 5])
def test_params_of_any_head(task, outputs):
    arch = SearchSpace("pose", 8, (64, 64), 24, 16, (1, 2, 2), (1, 2)).largest()
    built = ScaleNet(arch, task=task, num_classes=outputs, in_chans=4)
    assert sum(p.numel() for p in built.parameters()) == cost.count(arch, task=task, outputs=outputs, in_chans=4).params


def test_macs_equal_what_torch_counts_when_everything_runs():
    arch = SearchSpace("segmentation", 8, (64, 64), 24, 16, (1, 2, 2), (1, 2)).largest()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        ScaleNet(arch)(torch.zeros(1, 3, 60, 100))
    assert counter.get_total_flops() == 2 * cost.count(arch, (60, 100)).macs
