"""A pose network over a data set, whichever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..network import ScaleNet
from ..predict.loading import load_model, name_of
from . import DataError, bottomup, topdown

TOP_DOWN_ONLY = ("boxes", "decode")


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
        DataError: for boxes or a decoding method given to a bottom-up network, which has no use for them.
    """
    network = load_model(name, checkpoint)
    if network.task != "bottomup":
        figures = topdown.evaluate(network, dataset, root, split, **options)
    else:
        for option in TOP_DOWN_ONLY:
            if options.pop(option, None):
                raise DataError(f"{option} has no meaning for a bottom-up network: leave --{option} out")
        figures = bottomup.evaluate(network, dataset, root, split, **options)
    return {**figures, "model": name_of(name)}
