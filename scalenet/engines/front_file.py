"""The form of a front's file: the supernet's weights once, and of each member what is its own.

Its tensors are the supernet's entries, kernels in fp16, without BatchNorm statistics, and of member i
``members.i.statistics``: running mean and variance (float32) of its BatchNorm layers, in the order of its network's
entries. Its metadata are those of weight files (:mod:`scalenet.models.metadata`, ``arch`` the supernet's) and

- ``front``: JSON, version, the name of the ``metric`` that ranks, and the ``members``: architecture and metrics;
- ``content``: SHA-256 of all the rest, so that a file that was changed is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..archs.arch import Arch
from ..models.checkpoint import save_weights
from ..models.metadata import MAX_TEXT, CheckpointMetadata, Metrics

VERSION = 1
STATISTICS = ("running_mean", "running_var")
COUNTER = "num_batches_tracked"


def read_members(text: str) -> dict[str, Any]:
    """What the metadata say of the members, as yet unchecked.

    Raises:
        ValueError, LookupError, TypeError: if it is no such thing, or a later version's.
    """
    if len(text) > MAX_TEXT:
        raise ValueError("its list of members is too long")
    said = json.loads(text)
    if said["version"] != VERSION:
        raise ValueError(f"it is of version {str(said['version'])[:20]}, this scalenet reads {VERSION}")
    return said


def statistics_name(i: int) -> str:
    """The entry of member i's statistics."""
    return f"members.{i}.statistics"


def is_statistic(name: str) -> bool:
    """Whether an entry of a network is a BatchNorm layer's, of one sub-network alone."""
    return name.rpartition(".")[2] in (*STATISTICS, COUNTER)


def joined_statistics(state: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The BatchNorm statistics of a static network as a front holds them."""
    return torch.cat([v.detach().float().cpu() for k, v in state.items() if k.rpartition(".")[2] in STATISTICS])


def split_statistics(values: torch.Tensor, wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Entries of a network from what a front holds; ``wanted`` are its entries, of which names and shapes count."""
    entries, start = {}, 0
    for name, like in wanted.items():
        if name.rpartition(".")[2] in STATISTICS:
            entries[name] = values[start : start + like.numel()]
            start += like.numel()
        elif is_statistic(name):
            entries[name] = torch.zeros((), dtype=torch.int64)
    return entries


def content_digest(weights: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 of everything a front holds, this apart."""
    digest = hashlib.sha256(json.dumps({k: v for k, v in sorted(header.items()) if k != "content"}).encode())
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class NewMember:
    """What :func:`write_front` takes of a member: architecture, statistics (:func:`joined_statistics`), metrics."""

    arch: Arch
    statistics: torch.Tensor
    metrics: Metrics


def write_front(
    path: str | Path,
    weights: Mapping[str, torch.Tensor],
    metadata: CheckpointMetadata,
    metric: str,
    members: Sequence[NewMember],
) -> Path:
    """Write a front, whole or not at all.

    Args:
        weights: the supernet's entries; BatchNorm statistics among them are left out.
        metadata: what is known of them, ``arch`` the supernet's.
        metric: which of the metrics ranks.
    """
    rows = [{"arch": m.arch.to_dict(), "metrics": m.metrics} for m in members]
    header = metadata.header() | {"front": json.dumps({"version": VERSION, "metric": metric, "members": rows})}
    shared = {k: v.half() if v.ndim > 1 else v for k, v in weights.items() if not is_statistic(k)}
    tensors = {k: v.detach().cpu() for k, v in shared.items()}
    tensors |= {statistics_name(i): m.statistics for i, m in enumerate(members)}
    return save_weights(path, tensors, header | {"content": content_digest(tensors, header)})
