"""Does the supernet rank sub-networks as training each alone would? Kendall's tau over a few spread encodings."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

from scalenet.arch import Arch
from scalenet.weights import read_weights
from training import distributed
from training.engine import Run
from training.recipes import Recipe

from .evaluator import Evaluator
from .evolution import start_set

Row = dict[str, float | int | str]


def spread(evaluator: Evaluator, count: int, seed: int = 0) -> list[Arch]:
    """``count`` encodings over the whole space: its two ends and a start set dealt over the groups."""
    space = evaluator.space
    return [space.smallest(), space.largest(), *start_set(space, random.Random(seed), count - 2)]


def compare(evaluator: Evaluator, alone: Recipe, count: int, folder: str | Path) -> list[Row]:
    """Inherited and stand-alone figures of ``count`` encodings; what ``folder`` already holds is not done again.

    ``alone`` is the recipe (with its time or step budget) each encoding is trained by.
    """
    folder = Path(folder)
    path = folder / "rank.jsonl"
    done = {r["digest"]: r for r in map(json.loads, path.read_text().splitlines())} if path.is_file() else {}
    rows = []
    for arch in spread(evaluator, count):
        if arch.digest not in done:
            done[arch.digest] = row = _measure(evaluator, alone, arch, folder / arch.digest)
            if distributed.rank() == 0:
                folder.mkdir(parents=True, exist_ok=True)
                with path.open("a") as f:
                    f.write(json.dumps(row) + "\n")
        rows.append(done[arch.digest])
    return rows


def _measure(evaluator: Evaluator, alone: Recipe, arch: Arch, folder: Path) -> Row:
    record = evaluator.score(arch)
    folder.mkdir(parents=True, exist_ok=True)
    encoding = folder / "arch.json"
    if distributed.rank() == 0:
        encoding.write_text(arch.to_json())
    distributed.agree(0.0)  # the others wait for the file
    weights = Run(dataclasses.replace(alone, arch=str(encoding), out=str(folder))).run()
    distributed.agree(0.0)
    figures = json.loads(read_weights(weights)[1]["figures"])
    return {
        "digest": arch.digest, "macs": record.macs, "params": record.params, "inherited": record.score,
        "alone": figures[evaluator.figure],
    }  # fmt: skip


def kendall_tau(rows: list[Row]) -> float:
    """Rank correlation of inherited and stand-alone figures, -1..1."""
    from scipy.stats import kendalltau

    return float(kendalltau([r["inherited"] for r in rows], [r["alone"] for r in rows]).statistic)
