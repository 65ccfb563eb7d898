"""Model cards: what a network is, its reported and measured metrics, training data, terms, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..archs.budget import short_count
from ..archs.tasks import TaskSpec
from ..nn.network import ScaleNet
from .metadata import UNUSABLE, CheckpointMetadata
from .old_metadata import CONVERTED
from .pretrained import TABLE, Entry
from .provenance import metadata_of, start_terms

if TYPE_CHECKING:
    from ..engines.front import Front

PAPER = "https://proceedings.mlr.press/v188/cheng22a.html"


def _front_matter(spec: TaskSpec, known: CheckpointMetadata, datasets: tuple[str, ...], library: str = "timm") -> str:
    tags = [f"- {tag}" for tag in dict.fromkeys(("scalenet", library))]
    lines = [f"library_name: {library}", f"pipeline_tag: {spec.pipeline_tag}", "tags:", *tags]
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
        _front_matter(model.spec, known, datasets), f"# {name}", "",
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


def front_card(front: Front, name: str) -> str:
    """Markdown with front matter: what a front is, its members, their plot, how to use it."""
    known = front.metadata
    terms = known.terms or "those of the data it was trained on; whoever publishes it states them."
    lines = [
        _front_matter(front.spec, known, known.datasets, "scalenet"), f"# {name}", "",
        f"{len(front)} ScaleNAS networks for {front.spec.name} in one file, one for every budget; they share "
        "the weights of one supernet.", "", "![Score over multiply-adds](front.svg)", "", front.table(), "",
        f"- Outputs: {', '.join(known.labels.names) if known.labels else 'unnamed'}",
        f"- Data: {', '.join(known.datasets) or 'not stated'}",
        *([f"- Measured: {known.protocol} (`{known.command}`)"] if known.protocol else []),
        *_provenance(known, terms),
        f"- Method: [ScaleNAS]({PAPER}), Cheng et al., AutoML 2022", "",
        "## Use", "", "```python", "import scalenet", "",
        f'front = scalenet.Front("hf-hub:user/{name}")  # or "local-dir:FOLDER"',
        f'model = front.extract(front.pick(max_macs="{short_count(front.members[0].macs)}"))',
        f'result = scalenet.{front.spec.predictor}(model)("photo.jpg")', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)
