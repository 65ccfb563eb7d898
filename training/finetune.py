"""Your own data: start from a network's weights, train on a folder, end with weights, a card and an evaluation.

A folder holds either ``images/{train,val}`` and ``labels/{train,val}`` (index masks; 255 is ignored) with
``classes.txt`` (a class a line, optionally "name r g b"), or COCO keypoint JSON, ``annotations/{train,val}.json``
with images under ``images/``, of any skeleton.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalenet.archs.arch import SearchSpace
from scalenet.data import DataError, warn
from scalenet.data.io import write_text
from scalenet.data.keypoints import KeypointSet
from scalenet.data.labels import Labels
from scalenet.models.checkpoint import digest_of, read_metadata, read_weights, save_weights, select
from scalenet.models.factory import load_model, weights_file
from scalenet.models.hub import save_pretrained
from scalenet.models.metadata import CheckpointMetadata, Metrics
from scalenet.models.provenance import described, fingerprint, mark, start_of
from scalenet.nn.network import ScaleNet

from . import distributed
from .config import Recipe
from .data.segmentation import CLASSES_FILE
from .engine import Run
from .lock import check_free
from .overrides import override
from .start import terms_after

LEAST_STEPS = 60  # fewer leave a new classifier where it began
WARMUP, WARMUP_SHARE = 20, 0.1  # steps, and at most this share of a number of steps that is given
VALIDATIONS, PATIENCE = 8, 3  # parts of the run after which it is scored, and scores in a row that may be no better
LARGEST_CROP = {"segmentation": (512, 1024), "pose": (512, 512)}


def read_classes(folder: Path) -> Labels:
    """Labels of a segmentation folder.

    Raises:
        DataError: if the class list is missing, empty or malformed.
    """
    path = folder / CLASSES_FILE
    if not path.is_file():
        raise DataError(f"no class list {path}: one class a line, optionally with a colour (road 128 64 128)")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    names: list[str] = []
    colours: list[tuple[int, int, int]] = []
    for number, line in enumerate(filter(str.strip, lines), start=1):
        words = line.split()
        numbers = [int(w) for w in words[-3:] if w.isdigit() and int(w) < 256]
        coloured = len(words) > 3 and len(numbers) == 3
        names.append(" ".join(words[:-3] if coloured else words))
        if coloured:
            colours.append((numbers[0], numbers[1], numbers[2]))
        if colours and len(colours) != number:
            raise DataError(f"{path}, line {number}: give every class a colour, or none")
    if not 1 < len(names) < 255 or len(set(names)) != len(names):
        raise DataError(f"{path} must list 2 to 254 different classes, it has {len(names)}")
    return Labels(folder.name, tuple(names), tuple(colours))


def read_labels(folder: Path, task: str) -> Labels:
    """What a folder's classes or joints are, for a network of ``task``.

    Raises:
        DataError: if the folder is of another task's form, or incomplete.
    """
    if task == "segmentation":
        return read_classes(folder)
    if not (folder / "annotations").is_dir():
        raise DataError(f"no {folder}/annotations: a pose network needs COCO keypoint JSON, annotations/train.json")
    return KeypointSet.open(folder, "train").labels


def _start_file(model: ScaleNet, out: Path) -> Path:
    """Where a run keeps the weights it begins from: other weights, another file, another run."""
    return out / f"start-{fingerprint(model)[:8]}.safetensors"


def make_recipe(
    model: ScaleNet, data: Path, out: Path, classes: int, scratch: bool, overrides: Sequence[str]
) -> Recipe:
    """The training recipe of a fine-tuning run; it names files that :func:`write_start` writes."""
    (height, width), most = model.arch.input_size, LARGEST_CROP[model.task]
    size = (min(height, most[0]), min(width, most[1]))
    recipe = Recipe.of(
        name="finetune", task=model.task, mode="standalone", root=str(data), space=SearchSpace.around(model.arch),
        arch=str(out / "arch.json"), classes=classes, init="" if scratch else str(_start_file(model, out)),
        minutes=10.0, size=size, early_size=size, lr=1e-3, batch=8 if model.task == "segmentation" else 32,
        out=str(out), least_steps=LEAST_STEPS, warmup=WARMUP,
        validations=VALIDATIONS, patience=PATIENCE,
    )  # fmt: skip
    recipe = override(recipe, overrides)
    if recipe.schedule.steps and recipe.schedule.warmup == WARMUP:
        recipe = recipe.changed(warmup=min(WARMUP, int(WARMUP_SHARE * recipe.schedule.steps)))
    return recipe


def write_start(model: ScaleNet, out: Path, scratch: bool) -> None:
    """Write the architecture and the start weights that a run's recipe names, one process for all.

    Raises:
        TrainingError: if another run is at work in that folder.
    """
    check_free(out)
    if distributed.rank() == 0:
        write_text(out / "arch.json", model.arch.to_json())
        if not scratch:
            save_weights(_start_file(model, out), model.state_dict(), described(model, start_of(model)).header())
    distributed.agree(0.0)  # the others wait for the files


def _describe(file: Path, model_name: str, model: ScaleNet, labels: Labels, scratch: bool) -> CheckpointMetadata:
    """What is known of fine-tuned weights: what their run says, on the data of a user's, of the network named."""
    metadata = read_metadata(file)
    own = f"those of the images of {labels.dataset}, which it was fine-tuned on"
    start = CheckpointMetadata() if scratch else start_of(model)
    (splits,) = metadata.metrics.values()
    return replace(
        metadata, labels=labels, datasets=tuple(dict.fromkeys((labels.dataset, *start.datasets))),
        terms=terms_after(own, start.terms), metrics={labels.dataset: splits},
        init="" if scratch else model_name, parent_sha256="" if scratch else digest_of(weights_file(model_name)),
    )  # fmt: skip


def finetune(
    model_name: str, data: str | Path, out: str | Path, overrides: Sequence[str] = (), scratch: bool = False
) -> dict[str, object]:
    """Fine-tune a network on a folder; returns its metrics on ``val`` and where it was saved.

    Where the network knew the folder's classes or joints, its own metrics come too (``start_metrics``); if they are
    better, its weights are what is saved (``kept``: "start"), and the fine-tuned ones go to ``tuned.safetensors``. The
    fine-tuned ones are the best of those scored on the way; a run that only gets worse ends early (``ended_early``).

    Args:
        model_name: a registered name with weights, "hf-hub:…", "local-dir:…" or a ``.safetensors`` file.
        overrides: ``key=value`` texts for the recipe (minutes, steps, lr, batch…).
        scratch: start from random weights instead, for comparison.

    Raises:
        DataError, LookupError, RecipeError, TrainingError, WeightsError: for what the user can mend.
    """
    data, out, model = Path(data), Path(out), _known_model(model_name)
    labels = read_labels(data, model.task)
    recipe = make_recipe(model, data, out, len(labels.names), scratch, overrides)
    distributed.start(recipe.run.device)
    write_start(model, out, scratch)
    run = Run(recipe)
    before = None if scratch else _start_metrics(run, model, labels)
    if before is not None:
        run.validations.best = max(run.validations.best, before[run.task.metric] or 0.0)
    weights = run.run()
    if distributed.rank():
        return {}
    metadata = _describe(weights, model_name, model, labels, scratch)
    return {**_deliver(run, model, metadata, before, weights), "ended_early": run.validations.hopeless}


def _deliver(
    run: Run, model: ScaleNet, metadata: CheckpointMetadata, before: Mapping[str, Any] | None, weights: Path
) -> dict[str, object]:
    """Write the better of the start and what became of it, in both forms; returns what is said of it."""
    labels, metric, split = metadata.labels, run.task.metric, run.recipe.data.val_split
    assert labels is not None
    tuned = _tuned_model(model, labels, weights)
    metrics, kept = metadata.metrics[labels.dataset][split], "tuned"
    if before is not None and (before[metric] or 0.0) > (metrics[metric] or 0.0):
        _say_worse(metric, before, metrics)
        save_weights(weights.with_name("tuned.safetensors"), tuned.state_dict(), metadata.header())
        tuned.load_state_dict(model.state_dict())
        metadata = _of_the_start(metadata, {labels.dataset: {split: before}})
        metrics, kept = before, "start"
    mark(tuned, metadata)
    save_weights(weights, tuned.state_dict(), metadata.header())
    folder = save_pretrained(tuned.eval(), weights.with_name("model"))
    said = {"start": metadata.init or "random", "start_metrics": before, "kept": kept}
    return {**metrics, **said, "steps": metadata.steps, "weights": str(weights), "folder": str(folder)}


def _of_the_start(metadata: CheckpointMetadata, metrics: Metrics) -> CheckpointMetadata:
    """What is known where the weights that a run began with are kept."""
    return replace(metadata, recipe="", steps=0, minutes=0.0, metrics=metrics)


def _tuned_model(model: ScaleNet, labels: Labels, weights: Path) -> ScaleNet:
    tuned = ScaleNet(model.arch, task=model.task, num_classes=len(labels.names), labels=labels)
    tuned.load_state_dict(select(read_weights(weights)[0], tuned, str(weights), known=()))
    return tuned


def _known_model(name: str) -> ScaleNet:
    model = load_model(name)
    if model.task not in LARGEST_CROP:
        raise DataError(f"{name} is a {model.task} network; fine-tuning is for segmentation and top-down pose")
    return model


def _start_metrics(run: Run, model: ScaleNet, labels: Labels) -> Mapping[str, Any] | None:
    """What the network scores before it is trained; None where its outputs mean something else."""
    if model.labels is None or model.labels.names != labels.names:
        return None
    return run.task.evaluate(model.to(run.device).eval())


def _say_worse(metric: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    warn(
        f"fine-tuned, the network scores {metric} {after[metric]:.4f} on val, before it scored {before[metric]:.4f}: "
        "the weights it began with are kept, the others are tuned.safetensors; a lower lr or more minutes may help"
    )
