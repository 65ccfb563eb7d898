"""What is known of a network without running it: cost from the architecture, metrics as reported and as measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..archs.arch import Arch
from ..archs.cost import count
from ..nn.network import ScaleNet
from . import checkpoint, pretrained
from .factory import NO_ARCH, load_model
from .metadata import UNUSABLE, CheckpointMetadata, flat_metrics
from .names import ModelName, parse_name
from .provenance import metadata_of


@dataclass(frozen=True)
class ModelInfo:
    """What is known of one network without running it.

    Args:
        task: "segmentation", "pose" or "bottomup".
        outputs: number of classes or keypoints.
        input_size: (H, W) the multiply-adds are counted at.
        weights: whether there are any ("available"), a "summary", and where they are from.
        reported: metrics of the paper.
        metadata: what is known of the weights, this project's own metrics among it.
        in_chans: input channels.
    """

    name: str
    task: str
    outputs: int
    input_size: tuple[int, int]
    arch: Arch
    weights: Mapping[str, Any]
    reported: Mapping[str, Any] = field(default_factory=dict)
    metadata: CheckpointMetadata = field(default_factory=CheckpointMetadata)
    in_chans: int = 3

    def summary(self) -> dict[str, Any]:
        """Plain JSON values of everything but the architecture.

        ``macs`` are convolution multiply-adds at ``input_size``, ``measured`` is data set -> split -> metric.
        """
        known = self.metadata
        cost = count(self.arch, self.input_size, task=self.task, outputs=self.outputs, in_chans=self.in_chans)
        return {
            "name": self.name, "task": self.task, "outputs": self.outputs, "width": self.arch.width,
            "input_size": list(self.input_size), "params": cost.params, "macs": cost.macs,
            "weights": dict(self.weights), "reported": dict(self.reported), "measured": dict(known.metrics),
            "protocol": known.protocol, "command": known.command,
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """``summary`` with the architecture, its digest, and how the weights were made."""
        made = {"provenance": self.metadata.provenance()}
        return {**self.summary(), **made, "arch": self.arch.to_dict(), "digest": self.arch.digest}


def registered_info() -> Iterator[ModelInfo]:
    """A :class:`ModelInfo` for every network in the table of pretrained weights whose architecture ships."""
    for entry in pretrained.TABLE:
        yield _from_entry(entry)


def markdown_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The README's table of the zoo, from ``ModelInfo.summary`` rows."""
    lines = ["| network | task | input | parameters | GMACs | reported | measured | weights |", "|" + "---|" * 8]
    for row in rows:
        size = "x".join(map(str, row["input_size"]))
        cells = [
            row["name"], row["task"], size, f"{row['params']:,}", f"{row['macs'] / 1e9:.3f}",
            _first(row["reported"]), _first(flat_metrics(row["measured"])), row["weights"]["summary"],
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _first(metrics: Mapping[str, Any]) -> str:
    return next((f"{name} {value}" for name, value in metrics.items()), "")


def model_info(name: str) -> ModelInfo:
    """A :class:`ModelInfo` for a registered name, "hf-hub:…", "local-dir:…" or a ``.safetensors`` file.

    Raises:
        LookupError, FileNotFoundError, WeightsError: as :func:`scalenet.models.factory.load_model`.
    """
    parsed = parse_name(name)
    if parsed.kind != "registered":
        return _from_model(name, parsed)
    entry = pretrained.find_entry(parsed.place, parsed.tag)
    if entry is None:
        raise LookupError(NO_ARCH)
    return _from_entry(entry, checkpoint.read_metadata(entry.path) if entry.is_file else None)


def _from_entry(entry: pretrained.Entry, said: CheckpointMetadata | None = None) -> ModelInfo:
    return ModelInfo(
        pretrained.shown_name(entry), entry.task, len(entry.labels.names), entry.input_size, entry.arch,
        _entry_weights(entry), entry.reported, entry.metadata(said),
    )  # fmt: skip


def _entry_weights(entry: pretrained.Entry) -> dict[str, Any]:
    if entry.is_file:
        summary = f"in this package ({entry.path.stat().st_size / 1e6:.1f} MB)"
    elif entry.hub_id:
        summary = f"hf-hub:{entry.hub_id}"
    elif entry.authors_file:
        summary = f"the authors' {entry.authors_file}.pth, to convert"
    else:
        summary = "none published"
    available = entry.is_file or bool(entry.hub_id)
    return {
        "available": available, "summary": summary, "tag": entry.tag, "dataset": entry.labels.dataset,
        "file": entry.file if entry.is_file else None, "hub_id": entry.hub_id or None, "sha256": entry.sha256 or None,
        "license": entry.license, "terms": entry.terms,
        "note": "" if available else checkpoint.no_weights_message(entry),
    }  # fmt: skip


def _from_model(name: str, parsed: ModelName) -> ModelInfo:
    from .preprocessing import model_input

    model: ScaleNet = load_model(name)
    known = metadata_of(model) or CheckpointMetadata()
    dataset = model.labels.dataset if model.labels else "unknown"
    source = {
        "available": True,
        "summary": name,
        "note": "" if known.usable else f"{name}: {UNUSABLE}",
        "dataset": dataset,
        "license": known.license or None,
        "terms": known.terms,
        "file": name if Path(name).is_file() else None,
    }
    return ModelInfo(
        parsed.label, model.task, model.num_classes, model_input(model)[0], model.arch, source, metadata=known,
        in_chans=model.in_chans,
    )  # fmt: skip
