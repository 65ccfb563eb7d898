"""Does the supernet rank sub-networks as training each alone would? Kendall's tau over a few spread architectures."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import cast

from scalenet.archs.arch import Arch
from scalenet.data.io import read_lines, write_text
from scalenet.models.checkpoint import read_metadata
from training import distributed
from training.checks import TrainingError
from training.config import Recipe
from training.engine import Run

from .evaluator import Evaluator
from .evolution import initial_population
from .report import tau

Row = dict[str, object]


def spread_archs(evaluator: Evaluator, count: int, seed: int = 0) -> list[Arch]:
    """``count`` architectures over the whole space: its two ends and a start set dealt over the groups."""
    space = evaluator.space
    return [space.smallest(), space.largest(), *initial_population(space, random.Random(seed), count - 2)]


def compare(evaluator: Evaluator, alone: Recipe, count: int, folder: str | Path) -> list[Row]:
    """Inherited and stand-alone metrics of ``count`` architectures.

    ``alone`` is the recipe (with its time or step budget) that each is trained by. What ``folder`` already holds
    is not trained again, whichever supernet it was compared with.

    Raises:
        TrainingError: if ``folder`` holds metrics of another budget.
    """
    path = Path(folder) / "rank.jsonl"
    kept, rows = _read(path, alone), []
    for arch in spread_archs(evaluator, count):
        if arch.digest not in kept:
            kept[arch.digest] = _train(alone, arch, path.parent / arch.digest, evaluator.metric)
            if distributed.rank() == 0:
                write_text(path, "".join(json.dumps(row) + "\n" for row in kept.values()))
        record = evaluator.score(arch)
        metrics = {"macs": record.macs, "params": record.params, "inherited": record.score}
        alone_metrics = {k: kept[arch.digest][k] for k in ("alone", "trained_steps")}
        rows.append({"digest": arch.digest, **metrics, **alone_metrics})
    return rows


NOT_OF_THE_BUDGET = (
    "arch", "root", "out", "device", "workers", "cache", "save_minutes", "teacher", "distill", "change",
)  # fmt: skip


def _budget(alone: Recipe) -> Row:
    """What a stand-alone figure depends on, the architecture apart."""
    settings = {**alone.flat(), "space": dataclasses.asdict(alone.space)}
    return {k: str(v) for k, v in settings.items() if k not in NOT_OF_THE_BUDGET}


def _read(path: Path, alone: Recipe) -> dict[str, Row]:
    rows = list(read_lines(path))
    defaults = {key: str(field.default) for key, field in Recipe.fields().items()}  # of fields that came later
    budget = _budget(alone)
    for row in rows:
        for key, value in budget.items():
            if row["budget"].get(key, defaults[key]) != value:
                raise TrainingError(f"{path} holds metrics of another budget ({key} differs); name another folder")
    return {row["digest"]: row for row in rows}


def _train(alone: Recipe, arch: Arch, folder: Path, metric: str) -> Row:
    folder.mkdir(parents=True, exist_ok=True)
    encoding = folder / "arch.json"
    if distributed.rank() == 0:
        write_text(encoding, arch.to_json())
    distributed.agree(0.0)  # the others wait for the file
    weights = Run(alone.changed(arch=str(encoding), out=str(folder))).run()
    distributed.agree(0.0)
    metadata = read_metadata(weights)
    (splits,) = metadata.metrics.values()
    score = splits[alone.data.val_split][metric]
    return {"digest": arch.digest, "budget": _budget(alone), "trained_steps": metadata.steps, "alone": score}


def kendall_tau(rows: list[Row], one: str = "inherited", other: str = "alone") -> float:
    """Rank correlation of two of the rows' metrics, -1..1."""
    return tau(*([cast(float, r[name]) for r in rows] for name in (one, other)))
