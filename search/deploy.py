"""From an archive to a network: choose an architecture, read its weights out of the supernet, recalibrate, write both.

Nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

from scalenet.archs.arch import Arch
from scalenet.data.io import write_text
from scalenet.data.labels import DATASETS
from scalenet.engines.latency import network_ms, up_to
from scalenet.models.checkpoint import save_weights
from scalenet.nn.network import ScaleNet
from scalenet.runtime.device import pick_device

from .archive import Archive, ArchiveError, Record
from .evaluator import Evaluator
from .evolution import pareto_front


def choose(
    records: Sequence[Record],
    digest: str = "",
    max_params: int = 0,
    max_macs: int = 0,
    max_latency: float = 0.0,
    ms: Callable[[Record], float] | None = None,
) -> Record:
    """The record of a digest (or its beginning), else the best within the limits.

    Args:
        max_latency: milliseconds, as ``ms`` measures a record's network; few of the best are measured.

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
    if max_latency and ms is not None:
        front = pareto_front(fit)
        fit = list(up_to(front, max_latency, ms))
        if not fit:
            raise ArchiveError(f"no record is that fast here: the smallest needs {ms(front[0]):.1f}ms")
    return max(fit, key=lambda r: (r.score, -r.macs))


def latency_of(evaluator: Evaluator, device: str | None) -> Callable[[Record], float]:
    """A clock of records' networks for one image on ``device``; weights do not matter to it."""

    @cache
    def ms(arch: Arch) -> float:
        network = cast(ScaleNet, evaluator.task.build(arch).eval())
        return network_ms(network, pick_device(device), size=evaluator.size(arch))

    return lambda record: ms(record.arch)


def deploy(
    evaluator: Evaluator, archive: Archive, record: Record, name: str, folder: str | Path, dataset: str, terms: str = ""
) -> dict[str, float | int | str]:
    """Write ``NAME.json`` (architecture) and ``NAME.safetensors`` (fp16 kernels) into ``folder``; returns its metrics.

    The metrics are measured on the validation split with the weights as written. ``terms`` is the licence and data
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
    network = evaluator.static(record.arch.replace(name=name))
    arch = network.arch  # bottom-up has another input size than the people in boxes an architecture may be of
    if network.labels is not None and network.labels.names == labels.names:
        labels = network.labels  # with the pixel convention it was trained under
    for parameter in network.parameters():
        if parameter.ndim > 1:  # what the file will hold
            parameter.data = parameter.data.half().float()
    metrics = evaluator.task.evaluate(network, size=evaluator.size(arch))
    metadata = replace(
        evaluator.derived(network, labels, len(archive)), datasets=evaluator.metadata.datasets or (dataset,),
        metrics={evaluator.task.validation: {evaluator.task.recipe.data.val_split: metrics}},
        terms=terms or evaluator.metadata.terms, space=None, protocol=evaluator.task.protocol,
    )  # fmt: skip
    weights = save_weights(folder / f"{name}.safetensors", network.state_dict(), metadata.header(), half=True)
    write_text(folder / f"{name}.json", arch.to_json() + "\n")
    cost = {"params": record.params, "macs": record.macs, "digest": record.digest}
    return {**metrics, **evaluator.task.protocol_note(), **cost, "weights": str(weights)}
