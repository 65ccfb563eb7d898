"""Whether a checkpoint is of the run that a recipe asks for: what is the same, what may differ, what was changed."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .checks import TrainingError
from .config import OF_THE_MACHINE, OF_THE_NETWORK, Recipe

Identity = dict[str, Any]
BUDGET = ("minutes", "steps")


def identity_of(recipe: Recipe, digest: str) -> Identity:
    """All that a run's weights depend on, as plain values; ``digest`` is its architecture's."""
    left_out = (*OF_THE_MACHINE, "name", "space", "arch", "change")
    fields = {key: value for key, value in recipe.flat().items() if key not in left_out}
    return plain({"recipe": recipe.name, "space": repr(recipe.space), "arch": digest, **fields})


def plain(value: Any) -> Any:
    """A value as JSON has it, which any checkpoint can hold: tuples become lists, paths texts."""
    return json.loads(json.dumps(value, default=str))


def differences(saved: Identity, own: Identity) -> dict[str, tuple[Any, Any]]:
    """What a checkpoint's identity and a run's disagree in: name -> (the checkpoint's, the run's).

    A longer budget is no difference. What a checkpoint does not know, as it came later, had its default; one of the
    first form knows little, and what it does not know is not compared.
    """
    defaults = plain({key: field.default for key, field in Recipe.fields().items()}) if "seed" in saved else own
    pairs = {key: (saved.get(key, defaults.get(key)), value) for key, value in own.items()}
    return {key: pair for key, pair in pairs.items() if not _same(key, *pair)}


def _same(key: str, was: Any, now: Any) -> bool:
    if key in BUDGET:  # 0: no end
        return (now or math.inf) >= (was or math.inf)
    if isinstance(was, str) and not isinstance(now, str):  # the first form kept texts
        return was == str(now)
    return was == now


def check_same_run(path: Path, saved: Identity, own: Identity, change: Collection[str]) -> None:
    """Refuse a checkpoint of another run.

    Args:
        change: fields in which it may be another.

    Raises:
        TrainingError: naming what differs with both values, and how to ask for the change if it is one that can be.
    """
    wrong = {key: pair for key, pair in differences(saved, own).items() if key not in change}
    if not wrong:
        return
    said = ", ".join(f"{key} is {was!r} there and {now!r} here" for key, (was, now) in wrong.items())
    possible = not {*wrong} & {"recipe", *OF_THE_NETWORK}
    asked = f"add change={','.join([*change, *wrong])} if that is meant, " if possible else ""
    raise TrainingError(f"{path} belongs to another run: {said}; {asked}move it away, or name another folder")
