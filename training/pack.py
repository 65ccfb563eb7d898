"""A run's weights as they are shipped: kernels in fp16, and what they are, say and may be used for beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scalenet.archs.arch import SUPERNET
from scalenet.models.checkpoint import WeightsError, read_metadata, read_weights, save_weights


def pack(file: str | Path, out: str | Path, terms: str = "", dataset: str = "") -> Path:
    """Write the ``final.safetensors`` of a training run in half the bytes.

    A supernet keeps its metadata, which name its space; a single network gets those of a deployed one.

    Args:
        file: what ``python -m training run`` wrote.
        terms: licence and data note for the file; default the run's.
        dataset: what it learned from and was measured on; default what its labels say.

    Raises:
        FileNotFoundError, WeightsError: if there is no such file, or it is no training run's.
    """
    state, metadata = read_weights(file)[0], read_metadata(file)
    if not (metadata.arch and metadata.space and metadata.recipe and metadata.metrics):
        raise WeightsError(f"{file} was not written by python -m training run")
    if metadata.arch.name != SUPERNET and metadata.labels is not None:
        metadata = replace(metadata, space=None)
        if dataset and metadata.labels:
            metadata = replace(metadata, labels=replace(metadata.labels, dataset=dataset))
    if dataset:
        (splits,) = metadata.metrics.values()
        metadata = replace(metadata, datasets=(dataset, *metadata.datasets[1:]), metrics={dataset: splits})
    return save_weights(out, state, replace(metadata, terms=terms or metadata.terms).header(), half=True)
