"""A front of a small random supernet, in the form that a search writes."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import nn

from scalenet.archs.arch import Arch, SearchSpace
from scalenet.data.labels import CAMVID, COCO, Labels
from scalenet.engines.front_file import NewMember, joined_statistics, write_front
from scalenet.models.checkpoint import select
from scalenet.models.metadata import CheckpointMetadata
from scalenet.nn.network import ScaleNet

SIZES = ((64, 80), (32, 40))


def small_space(task: str = "segmentation") -> SearchSpace:
    """Sixteen bits or so of architectures."""
    return SearchSpace("segmentation" if task == "segmentation" else "pose", 8, SIZES[0], 24, 16, (1, 1, 1), (1, 2))


def small_supernet(task: str = "segmentation", labels: Labels | None = None) -> ScaleNet:
    """A network of the whole space, its outputs lively."""
    torch.manual_seed(0)
    labels = labels or (CAMVID if task == "segmentation" else COCO)
    net = ScaleNet(small_space(task).supernet(), task=task, num_classes=len(labels.names), labels=labels)
    for name in net.classifier_names:
        layer = net.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=1)
    return net.eval()


def small_archs(task: str = "segmentation") -> list[Arch]:
    """Four architectures at two sizes each, the cheapest first within a size."""
    space = small_space(task)
    middle = [space.sample(random.Random(seed)) for seed in (1, 2)]
    archs = [space.smallest(), *middle, space.largest()]
    return [arch.replace(input_size=size, name="") for size in SIZES for arch in archs]


def static_of(net: ScaleNet, arch: Arch, seed: int = 0) -> ScaleNet:
    """The network of ``arch`` with a supernet's kernels as fp16 holds them, and statistics of its own."""
    static = ScaleNet(arch, task=net.task, num_classes=net.num_classes, labels=net.labels)
    static.load_state_dict(select(net.state_dict(), static))
    torch.manual_seed(seed)
    for module in static.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for parameter in static.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half().float()
    return static.eval()


def write_small_front(path: Path, task: str = "segmentation") -> Path:
    """A front of eight members whose scores rise with their multiply-adds."""
    net = small_supernet(task)
    statics = [static_of(net, arch, seed) for seed, arch in enumerate(small_archs(task))]
    statics.sort(key=lambda static: static.cost().macs)
    members = [
        NewMember(static.arch, joined_statistics(static.state_dict()), {"toys": {"val": {"miou": 0.5 + 0.05 * i}}})
        for i, static in enumerate(statics)
    ]
    metadata = CheckpointMetadata(arch=net.arch, task=net.task, labels=net.labels, datasets=("toys",), terms="toys")
    return write_front(path, net.state_dict(), metadata, "miou", members)
