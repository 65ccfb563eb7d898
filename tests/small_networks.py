"""Small random networks, and their files in the form that deploying writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from scalenet.archs.arch import SearchSpace
from scalenet.data.labels import CAMVID, DATASETS, Labels
from scalenet.models.checkpoint import save_weights
from scalenet.models.metadata import CheckpointMetadata
from scalenet.models.provenance import described
from scalenet.nn.network import ScaleNet

from .small_data import photographs


def small_network(
    task: str = "segmentation",
    labels: Labels = CAMVID,
    size: tuple[int, int] = (64, 80),
    depths: tuple[int, int] = (1, 2),
) -> ScaleNet:
    """A network with lively statistics and outputs, so that a mask has many classes."""
    space = SearchSpace("segmentation" if task == "segmentation" else "pose", 8, size, 24, 16, (1, 1, 1), depths)
    net = ScaleNet(space.hrnet(), task=task, num_classes=len(labels.names), labels=labels)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 2)
    for name in net.classifier_names:
        layer = net.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=1)
    return net.eval()


def write(net: ScaleNet, path: Path) -> Path:
    """The network as a ``.safetensors`` file of this project."""
    labels = net.labels or DATASETS["camvid"]
    metadata = replace(described(net, CheckpointMetadata(datasets=(labels.dataset,))), labels=labels)
    return save_weights(path, net.state_dict(), metadata.header())


def sample_image(height: int, width: int) -> np.ndarray:
    """A photograph, RGB uint8 (H, W, 3)."""

    return cv2.resize(photographs()[0], (width, height), interpolation=cv2.INTER_AREA)
