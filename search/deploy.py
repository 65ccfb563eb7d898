"""From an archive to a network: choose an encoding, read its weights out of the supernet, recalibrate, write both.

Nothing is trained here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from scalenet.datasets import DATASETS
from scalenet.weights import save_weights
from scalenet.whole import write_text

from .archive import Archive, ArchiveError, Record
from .evaluator import Evaluator


def choose(records: Sequence[Record], digest: str = "", max_params: int = 0, max_macs: int = 0) -> Record:
    """The record of a digest (or its beginning), else the best within the limits.

    Raises:
        ArchiveError: if there is none.
    """
    fit = [
        r
        for r in records
        if r.digest.startswith(digest)
        and (not max_params or r.params <= max_params)
        and (not max_macs or r.macs <= max_macs)
    ]
    if not fit:
        raise ArchiveError("no record of the archive fits that digest and those limits")
    return max(fit, key=lambda r: (r.score, -r.macs))


def deploy(
    evaluator: Evaluator, archive: Archive, record: Record, name: str, folder: str | Path, dataset: str, terms: str = ""
) -> dict[str, float | int | str]:
    """Write ``NAME.json`` (encoding) and ``NAME.safetensors`` (fp16 kernels) into ``folder``; returns its figures.

    The figures are measured on the validation split with the weights as written. ``terms`` is the licence and data
    note, by default the supernet's.

    Raises:
        ArchiveError: if the data set has more or fewer classes or joints than the network has outputs.
    """
    labels = DATASETS[dataset]
    if len(labels.names) != evaluator.task.recipe.classes:
        raise ArchiveError(
            f"{dataset} has {len(labels.names)} names, the network {evaluator.task.recipe.classes} outputs"
        )
    folder = Path(folder)
    arch = record.arch.replace(name=name)
    network = evaluator.static(arch)
    if network.labels is not None and network.labels.names == labels.names:
        labels = network.labels  # with the pixel convention it was trained under
    for parameter in network.parameters():
        if parameter.ndim > 1:  # what the file will hold
            parameter.data = parameter.data.half().float()
    figures = evaluator.task.evaluate(network, size=evaluator.size(arch))
    metadata = {
        "format": "scalenet", "arch": arch.to_json(), "task": evaluator.task.recipe.task, "dataset": dataset,
        "labels": json.dumps(labels.to_dict()), "figures": json.dumps({f"{dataset} val": figures}),
        "recipe": json.dumps({"supernet": evaluator.metadata.get("recipe", ""),
                              "steps": evaluator.metadata.get("steps", ""),
                              "minutes": evaluator.metadata.get("minutes", ""), "searched": len(archive)}),
        "license": terms or evaluator.metadata.get("license", ""),
    }  # fmt: skip
    weights = save_weights(folder / f"{name}.safetensors", network.state_dict(), metadata, half=True)
    write_text(folder / f"{name}.json", arch.to_json() + "\n")
    return {**figures, "params": record.params, "macs": record.macs, "digest": record.digest, "weights": str(weights)}
