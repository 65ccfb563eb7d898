"""Model cards: what a network is, its reported and measured metrics, training data, terms, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..network import ScaleNet
from .metadata import UNUSABLE, CheckpointMetadata
from .old_metadata import CONVERTED
from .pretrained import TABLE, Entry
from .provenance import metadata_of, start_terms

PAPER = "https://proceedings.mlr.press/v188/cheng22a.html"


def _front_matter(model: ScaleNet, known: CheckpointMetadata, datasets: tuple[str, ...]) -> str:
    lines = ["library_name: timm", f"pipeline_tag: {model.spec.pipeline_tag}", "tags:", "- scalenet", "- timm"]
    lines += [f"license: {json.dumps(known.license) if known.license else 'other'}"]
    if datasets:
        lines += ["datasets:", *(f"- {json.dumps(name)}" for name in datasets)]
    return "\n".join(["---", *lines, "---"])


def _metrics(title: str, metrics: Mapping[str, Any], note: str) -> list[str]:
    if not metrics:
        return []
    return [f"### {title}", "", note, "", *(f"- {k}: {v}" for k, v in metrics.items()), ""]


def _published(model: ScaleNet, known: CheckpointMetadata) -> Entry | None:
    """The table's entry whose weights a network holds."""
    found = [e for e in TABLE if f"{e.name}.{e.tag}" == known.network]
    same = found and found[0].labels == model.labels and found[0].arch.digest == model.arch.digest
    return found[0] if same else None


def _provenance(known: CheckpointMetadata, terms: str) -> list[str]:
    lines = [f"- Terms: {terms}"]
    if known.made():
        lines.append(f"- Made with: {known.made()}")
    if known.parent():
        lines.append(f"- {'Converted' if known.recipe == CONVERTED else 'Began'} from: {known.parent()}")
    if not known.usable:
        lines.append(f"- {UNUSABLE}")
    elif known.batchnorm:
        lines.append(f"- BatchNorm statistics: {known.batchnorm}")
    return lines


def model_card(model: ScaleNet, name: str) -> str:
    """A model card: Markdown with front matter.

    Metrics, "reported" apart from "measured", are given only for weights that have not changed since they were read
    (see :mod:`scalenet.models.provenance`).
    """
    known = metadata_of(model) or CheckpointMetadata()
    entry = _published(model, known)
    datasets = known.datasets or ((model.labels.dataset,) if model.labels else ())
    size = tuple((getattr(model, "pretrained_cfg", None) or {}).get("input_size") or (0, *model.arch.input_size))[1:]
    cost = model.cost(size)
    outputs = ", ".join(model.labels.names) if model.labels else f"{model.num_classes}, unnamed"
    reported = entry.reported if entry and entry.authors_file and known.usable else {}
    terms = known.terms
    if not terms:
        start = start_terms(model)
        began = f" It began from weights with these: {start}" if start else ""
        terms = f"those of the data it was trained on; whoever publishes it states them.{began}"
    lines = [
        _front_matter(model, known, datasets), f"# {name}", "",
        f"A ScaleNAS network for {model.task}: {cost.params:,} parameters, {cost.macs / 1e9:.3f} GMACs at "
        f"{size[0]}x{size[1]} (convolution multiply-adds).", "",
        f"- Outputs: {outputs}",
        f"- Data: {', '.join(datasets) or 'not stated'}",
        *_provenance(known, terms),
        f"- Architecture (digest {model.arch.digest}): in `config.json` under `model_args.arch`",
        f"- Method: [ScaleNAS]({PAPER}), Cheng et al., AutoML 2022", "",
        *_metrics("Measured", known.measured(), "By this project, on these weights."),
        *_metrics("Reported", reported, "By the paper's authors; not measured on this file."),
        "## Use", "", "```python", "import scalenet", "",
        f'model = scalenet.create_model("local-dir:FOLDER", pretrained=True)  # or "hf-hub:user/{name}"',
        f'result = scalenet.{model.spec.predictor}(model)("photo.jpg")', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)
