"""Provenance: what a network object knows of its weights.

It keeps the metadata of the weights it was given. They hold as long as the weights are, to the last BatchNorm
statistic, as they were read; of weights that have changed since, only what they began from is known.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..nn.network import ScaleNet
from .metadata import INPUT, OF_NETWORK, CheckpointMetadata, read_preprocessing


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of all 1-d tensors (biases and BatchNorm), which any training step or recalibration changes."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            digest.update(name.encode())
            digest.update(tensor.detach().to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()


def mark(model: nn.Module, metadata: CheckpointMetadata, known: str | None = None) -> None:
    """Attach metadata to a network, valid as long as its weights stay as they are.

    Args:
        known: fingerprint of the weights that ``metadata`` are of; default those that the network holds now.
    """
    remembered: Any = (metadata, fingerprint(model) if known is None else known)
    model.checkpoint_metadata = remembered


def start_of(model: nn.Module) -> CheckpointMetadata:
    """What carries over from the last weights with metadata to whatever is derived from them; empty if unknown."""
    return getattr(model, "checkpoint_metadata", (CheckpointMetadata(), ""))[0].inherited()


def start_terms(model: nn.Module) -> str:
    """The terms inherited from the last weights with metadata; "" if unknown."""
    return start_of(model).terms


def metadata_of(model: ScaleNet) -> CheckpointMetadata | None:
    """What is known of a network's weights, or None if nothing is or they have changed since.

    Raises:
        ValueError: if the network's own cfg (mean, std, input size) is malformed.
    """
    metadata, known = getattr(model, "checkpoint_metadata", (None, ""))
    return described(model, metadata) if metadata is not None and fingerprint(model) == known else None


def described(model: ScaleNet, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Metadata with what a network says itself: architecture, task, labels and preprocessing.

    Raises:
        ValueError: if its cfg (mean, std, input size) is malformed.
    """
    cfg = getattr(model, "pretrained_cfg", None) or {}
    arch, size = model.arch, cfg.get("input_size")
    try:
        preprocessing = read_preprocessing({k: cfg.get(k) or v for k, v in INPUT.items()})
        arch = arch.replace(input_size=(size[1], size[2])) if size else arch
    except (ValueError, TypeError, OverflowError) as e:
        raise ValueError(f"the network's cfg: {e}") from None
    return replace(metadata, arch=arch, task=model.task, labels=model.labels, preprocessing=preprocessing)


def recorded(model: ScaleNet) -> dict[str, Any]:
    """What a hub config says of a network's weights beside the network: plain JSON, empty if nothing is known."""
    known, start = metadata_of(model), start_of(model)
    if known is None and start == CheckpointMetadata():
        return {}
    said = {k: v for k, v in (known or start).to_dict().items() if k not in OF_NETWORK}
    return said if known is None else said | {"fingerprint": fingerprint(model)}
