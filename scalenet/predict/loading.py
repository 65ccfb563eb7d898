"""A network made ready for predicting: its device, its input, what to call it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from .. import weights
from ..fold import fold
from ..network import ScaleNet
from .images import IMAGENET_MEAN, IMAGENET_STD


def to_predict(
    model: ScaleNet, source: str | Path | ScaleNet, device: str | torch.device | None
) -> tuple[ScaleNet, torch.device]:
    """A network as predictors run it, and its device: on the device, BatchNorm folded into convolutions.

    Args:
        source: what the network was loaded from; a caller's own, which may go on learning, is moved and not changed.

    Raises:
        ValueError: if it does not read three channels, or there is no such device.
    """
    if model.in_chans != 3:
        raise ValueError(f"a network of RGB pictures is needed, this one reads {model.in_chans} channels")
    place = pick_device(device)
    named = isinstance(source, (str, Path))
    return (fold(model) if named else model).to(place), place


def name_of(name_or_model: str | Path | ScaleNet) -> str:
    """What to call a network in a report: the name it was asked for by, else its encoding's."""
    return str(name_or_model) if isinstance(name_or_model, (str, Path)) else name_or_model.arch.name


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or cuda, mps, cpu, the first there is.

    Raises:
        ValueError: if there is no such device.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device  # numbered: which is the current one differs between threads
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise ValueError(f"device {str(device)!r} cannot be used here ({str(e).splitlines()[0][:80]})") from None


def model_input(model: ScaleNet) -> tuple[tuple[int, int], dict[str, Any]]:
    """(H, W) a network was made for, and the ``mean`` and ``std`` (of values 0..1) its pictures are normalised with.

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
        raise weights.WeightsError(
            f"its config.json has no input_size, mean and std of pictures: {size}, {mean}, {std}"
        )
    return (int(size[1]), int(size[2])), {"mean": tuple(mean), "std": tuple(std)}
