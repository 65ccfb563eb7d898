"""Where a network's weights are from: kept with the network, and worth nothing once the weights are other ones.

A model card shows figures only for weights that are, to the last BatchNorm statistic, as they were read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

SUPERNET_STATISTICS = "a supernet's: recalibrate before use"  # the metadata's word for BatchNorm that fits nothing yet


UNUSABLE = (
    "BatchNorm statistics are a supernet's and fit no sub-network: recalibrate on training pictures before use "
    "(python -m training recalibrate FILE --data ROOT)"
)


@dataclass(frozen=True)
class Origin:
    """Provenance of weights.

    Args:
        network: "name.tag" in the table of weights, or "" for weights that are no published network's.
        source: the file they were converted from, with its SHA-256.
        usable: False where BatchNorm statistics are a supernet's and no sub-network's.
        figures: measured on these weights.
        terms: what their training data allows.
    """

    network: str = ""
    source: str = ""
    usable: bool = True
    figures: Mapping[str, Any] = field(default_factory=dict)
    terms: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Origin:
        """From ``dataclasses.asdict``'s form; what has another type than it should is left out."""
        known = {f.name: type(getattr(cls(), f.name)) for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known and isinstance(v, known[k])})

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Origin:
        """From a weights file's own metadata."""
        source = metadata.get("source", "")
        if source and metadata.get("source_sha256"):
            source += f", SHA-256 {metadata['source_sha256']}"
        try:
            figures = json.loads(metadata.get("figures") or "{}")
        except (ValueError, RecursionError):
            figures = {}
        return cls(
            metadata.get("network", ""), source, metadata.get("batchnorm") != SUPERNET_STATISTICS,
            figures if isinstance(figures, dict) else {}, metadata.get("license", ""),
        )  # fmt: skip


def fingerprint(model: nn.Module) -> str:
    """A hash of all vectors of a network (biases and BatchNorm): any training step or recalibration changes it."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            digest.update(name.encode())
            digest.update(tensor.detach().to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()


def mark(model: nn.Module, origin: Origin) -> None:
    """Remember where the weights that a network holds now are from."""
    model.origin = (origin, fingerprint(model))


def start_terms(model: nn.Module) -> str:
    """The terms of the last weights whose origin is known, which stay on what was made of them; "" if none are."""
    origin = getattr(model, "origin", (None, ""))[0]
    return origin.terms if origin is not None else ""


def origin_of(model: nn.Module) -> Origin | None:
    """Where a network's weights are from, or None if nothing is known or they have changed since."""
    origin, known = getattr(model, "origin", (None, ""))
    return origin if origin is not None and fingerprint(model) == known else None
