"""BatchNorm statistics of one sub-network, recomputed on training images (paper section 3.4).

A supernet's running statistics mix all sub-networks; a deployed one needs its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from scalenet.data import DataError
from scalenet.data.images import SUFFIXES, pad_to_multiple, read_rgb, to_input
from scalenet.data.segmentation import hidden
from scalenet.data.sizes import COARSEST
from scalenet.models.checkpoint import read_metadata, read_network, save_weights
from scalenet.nn.network import ScaleNet

from .data import holds_labels
from .data.keypoints import KeypointSource


def recalibrate(model: nn.Module, batches: Iterable[torch.Tensor]) -> int:
    """Reset BatchNorm statistics and average them over ``batches`` of (B, 3, H, W) inputs; returns how many there were.

    Only BatchNorm layers run in training mode; weights, momenta and modes are as before afterwards.

    Raises:
        ValueError: if there is no batch (the statistics would be left reset).
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in layers]
    modes = [(m, m.training) for m in model.modules()]
    saved = {m: {name: value.clone() for name, value in m.named_buffers()} for m in layers}
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's word for a cumulative average
        layer.train()
    count = 0
    try:
        with torch.inference_mode():
            for batch in batches:
                model(batch)
                count += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes:
            module.training = mode
    for layer in layers:
        if not layer.num_batches_tracked:  # not on this sub-network's way: nothing was measured
            for name, value in layer.named_buffers():
                value.copy_(saved[layer][name])
    if not count:
        raise ValueError("recalibration needs at least one batch of images")
    return count


def image_batches(
    model: ScaleNet, root: str | Path, split: str = "train", batches: int = 8, batch_size: int = 3, seed: int = 0
) -> Iterator[torch.Tensor]:
    """Inputs for a network from training images: person crops for pose, else crops of at most 512x1024.

    Args:
        root, split: a keypoint data set for pose, else any folder of images; where there are folders named ``split``
            in it, only what lies below them counts.

    Raises:
        DataError: if there are no images.
    """
    device = next(model.parameters()).device
    rng = np.random.default_rng(seed)
    if model.task == "pose":
        source = KeypointSource(str(root), split)
        load, count = (lambda i: source.load(i, model.arch.input_size)), len(source)
    else:
        files = find_images(root, split)
        seen = partial(pad_to_multiple, multiple=COARSEST)
        load, count = (lambda i: seen(_random_crop(read_rgb(files[i]), model.arch.input_size, rng))), len(files)
    order = rng.permutation(max(count, batches * batch_size)) % count
    for start in range(0, batches * batch_size, batch_size):
        yield to_input(np.stack([load(int(i)) for i in order[start : start + batch_size]]), device)


def find_images(root: str | Path, split: str) -> list[Path]:
    """Images below a folder, those of ``split`` where its name occurs, labels left out.

    Raises:
        DataError: if there are none.
    """
    root = Path(root)
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and not hidden(p.relative_to(root)))
    folders = {p: p.relative_to(root).parent for p in files}
    files = [p for p in files if not holds_labels(folders[p])]
    below = [p for p in files if split in folders[p].parts]
    if not files:
        raise DataError(f"no images under {root}")
    return below or files


def _random_crop(image: np.ndarray, input_size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A crop of the network's input size, or 512x1024 where that is smaller; small images are enlarged to fit."""
    h, w = min(input_size[0], 512), min(input_size[1], 1024)
    scale = max(h / image.shape[0], w / image.shape[1])
    if scale > 1:
        size = (max(w, round(scale * image.shape[1])), max(h, round(scale * image.shape[0])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    y, x = (int(rng.integers(0, have - want + 1)) for have, want in zip(image.shape, (h, w), strict=False))
    return image[y : y + h, x : x + w]


def recalibrate_file(
    path: str | Path, root: str | Path, out: str | Path | None = None, split: str = "train", batches: int = 8,
    batch_size: int = 3,
) -> Path:  # fmt: skip
    """Recalibrate a weights file of this project on training images; writes ``out`` (default: the file itself).

    Raises:
        DataError, FileNotFoundError, WeightsError: for what is missing or damaged.
    """
    model = read_network(path)
    metadata = read_metadata(path).without_metrics()  # they are of other statistics than these
    count = recalibrate(model, image_batches(model, root, split, batches, batch_size))
    metadata = replace(metadata, batchnorm=f"recalibrated on {count} batches of {batch_size} training images")
    return save_weights(out or path, model.state_dict(), metadata.header())
