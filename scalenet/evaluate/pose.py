"""A pose network over a data set, whichever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..network import ScaleNet
from ..predict.loading import load_model, name_of
from . import DataError, bottomup, topdown

TOP_DOWN_ONLY, BOTTOM_UP_ONLY = ("boxes", "decode"), ("scales",)


def evaluate(
    name: str | Path | ScaleNet,
    dataset: str,
    root: str | Path,
    split: str = "val",
    *,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Figures of a pose network over a split: :func:`scalenet.evaluate.bottomup.evaluate` of a bottom-up network,
    :func:`scalenet.evaluate.topdown.evaluate` of any other; ``options`` are theirs.

    Raises:
        DataError: for boxes or a decoding method given to a bottom-up network, or scales to a top-down one, which have
            no use for them.
    """
    network = load_model(name, checkpoint)
    bottom_up = network.task == "bottomup"
    for option in TOP_DOWN_ONLY if bottom_up else BOTTOM_UP_ONLY:
        if options.pop(option, None):
            kind = "bottom-up" if bottom_up else "top-down"
            raise DataError(f"{option} has no meaning for a {kind} network: leave --{option} out")
    figures = (bottomup if bottom_up else topdown).evaluate(network, dataset, root, split, **options)
    return {**figures, "model": name_of(name)}
