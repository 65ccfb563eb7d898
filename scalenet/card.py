"""Model cards: what a network is, whose figures are whose, on what data, under which terms, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .network import ScaleNet
from .origin import UNUSABLE, Origin, origin_of, start_terms
from .table import TABLE, Entry

PIPELINES = {"segmentation": "image-segmentation", "pose": "keypoint-detection", "bottomup": "keypoint-detection"}
PREDICTORS = {"segmentation": "Segmenter", "pose": "PoseEstimator", "bottomup": "BottomUpPoseEstimator"}
PAPER = "https://proceedings.mlr.press/v188/cheng22a.html"


def _front_matter(model: ScaleNet, entry: Entry | None) -> str:
    lines = ["library_name: timm", f"pipeline_tag: {PIPELINES[model.task]}", "tags:", "- scalenet", "- timm"]
    lines += [f"license: {entry.license if entry else 'other'}"]
    if model.labels:
        lines += ["datasets:", f"- {json.dumps(model.labels.dataset)}"]
    return "\n".join(["---", *lines, "---"])


def _figures(title: str, figures: Mapping[str, Any], note: str) -> list[str]:
    if not figures:
        return []
    return [f"### {title}", "", note, "", *(f"- {k}: {_text(v)}" for k, v in figures.items()), ""]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def _published(model: ScaleNet, origin: Origin | None) -> Entry | None:
    """The table's entry whose weights a network holds, unchanged since they were read."""
    if origin is None:
        return None
    found = [e for e in TABLE if f"{e.name}.{e.tag}" == origin.network]
    same = found and found[0].labels == model.labels and found[0].arch.digest == model.arch.digest
    return found[0] if same else None


def _provenance(origin: Origin | None, terms: str) -> list[str]:
    lines = [f"- Terms: {terms}"]
    if origin is not None and origin.source:
        lines.append(f"- Converted from: {origin.source}")
    if origin is not None and not origin.usable:
        lines.append(f"- {UNUSABLE}")
    return lines


def model_card(model: ScaleNet, name: str) -> str:
    """Markdown with front matter. Figures, "reported" and "measured" apart, are there only where a network holds
    weights just as they were read from where the figures belong (see :mod:`scalenet.origin`).
    """
    origin = origin_of(model)
    entry = _published(model, origin)
    size = tuple((getattr(model, "pretrained_cfg", None) or {}).get("input_size") or (0, *model.arch.input_size))[1:]
    cost = model.cost(size)
    outputs = ", ".join(model.labels.names) if model.labels else f"{model.num_classes}, unnamed"
    measured = origin.figures if origin else {}
    reported = entry.reported if entry and entry.authors_file and origin.usable else {}
    terms = origin.terms if origin else ""
    if not terms:
        start = start_terms(model)
        began = f" It began from weights with these: {start}" if start else ""
        terms = f"those of the data it was trained on; whoever publishes it states them.{began}"
    lines = [
        _front_matter(model, entry), f"# {name}", "",
        f"A ScaleNAS network for {model.task}: {cost.params:,} parameters, {cost.macs / 1e9:.3f} GMACs at "
        f"{size[0]}x{size[1]} (convolution multiply-adds).", "",
        f"- Outputs: {outputs}",
        f"- Data: {model.labels.dataset if model.labels else 'not stated'}",
        *_provenance(origin, terms),
        f"- Encoding (digest {model.arch.digest}): in `config.json` under `model_args.arch`",
        f"- Method: [ScaleNAS]({PAPER}), Cheng et al., AutoML 2022", "",
        *_figures("Measured", measured, "By this project, on these weights."),
        *_figures("Reported", reported, "By the paper's authors; not measured on this file."),
        "## Use", "", "```python", "import scalenet", "",
        f'model = scalenet.create_model("local-dir:FOLDER", pretrained=True)  # or "hf-hub:user/{name}"',
        f'result = scalenet.{PREDICTORS[model.task]}(model)("photo.jpg")', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)
