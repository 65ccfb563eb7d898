"""How the images a network reads are made: its input size, mean and standard deviation."""

from __future__ import annotations

import math
from typing import Any

from ..data.images import IMAGENET_MEAN, IMAGENET_STD
from ..nn.network import ScaleNet
from .checkpoint import WeightsError


def model_input(model: ScaleNet) -> tuple[tuple[int, int], dict[str, Any]]:
    """(H, W) a network was made for, and the ``mean`` and ``std`` (of values 0..1) its images are normalised with.

    Raises:
        WeightsError: if its cfg holds something else.
    """
    cfg = getattr(model, "pretrained_cfg", None) or {}
    size = cfg.get("input_size") or (3, *model.arch.input_size)
    mean, std = cfg.get("mean") or IMAGENET_MEAN, cfg.get("std") or IMAGENET_STD
    try:
        fine = len(size) == 3 and all(int(n) == n >= 1 for n in size) and len(mean) == len(std) in (3, size[0])
        fine = fine and all(map(math.isfinite, mean)) and all(0 < v < math.inf for v in std)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise WeightsError(f"its config.json has no input_size, mean and std of images: {size}, {mean}, {std}")
    return (int(size[1]), int(size[2])), {"mean": tuple(mean), "std": tuple(std)}
