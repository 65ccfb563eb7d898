"""Model cards: what a network is, whose figures are whose, on what data, under which terms, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import weights
from .cost import count
from .network import ScaleNet

PIPELINES = {"segmentation": "image-segmentation", "pose": "keypoint-detection", "bottomup": "keypoint-detection"}
PREDICTORS = {"segmentation": "Segmenter", "pose": "PoseEstimator", "bottomup": "BottomUpPoseEstimator"}
PAPER = "https://proceedings.mlr.press/v188/cheng22a.html"


def _front_matter(model: ScaleNet, entry: weights.Entry | None) -> str:
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


def model_card(model: ScaleNet, name: str, entry: weights.Entry | None = None) -> str:
    """Markdown with front matter. ``entry`` is given where the weights are the published ones: only then are there
    figures, "reported" and "measured" apart.
    """
    size = tuple((getattr(model, "pretrained_cfg", None) or {}).get("input_size") or (0, *model.arch.input_size))[1:]
    cost = count(model.arch, size, task=model.task, outputs=model.num_classes, in_chans=model.in_chans)
    outputs = ", ".join(model.labels.names) if model.labels else f"{model.num_classes}, unnamed"
    measured = dict(entry.measured) if entry and entry.is_file else {}
    reported = dict(entry.reported) if entry else {}
    terms = entry.terms if entry else "The terms of the data it was trained on apply; whoever publishes it states them."
    lines = [
        _front_matter(model, entry), f"# {name}", "",
        f"A ScaleNAS network for {model.task}: {cost.params:,} parameters, {cost.macs / 1e9:.3f} GMACs at "
        f"{size[0]}x{size[1]} (convolution multiply-adds).", "",
        f"- Outputs: {outputs}",
        f"- Data: {model.labels.dataset if model.labels else 'not stated'}",
        f"- Terms: {terms}",
        f"- Encoding (digest {model.arch.digest}): in `config.json` under `model_args.arch`",
        f"- Method: [ScaleNAS]({PAPER}), Cheng et al., AutoML 2022", "",
        *_figures("Measured", measured, "By this project, each with the command that prints it."),
        *_figures("Reported", reported, "By the paper's authors; not measured on this file."),
        "## Use", "", "```python", "import scalenet", "",
        f'model = scalenet.create_model("local-dir:FOLDER", pretrained=True)  # or "hf-hub:user/{name}"',
        f'result = scalenet.{PREDICTORS[model.task]}(model)("photo.jpg")', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)
