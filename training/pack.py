"""A run's weights as they are shipped: kernels in fp16, and what they are, say and may be used for beside them."""

from __future__ import annotations

import json
from pathlib import Path

from scalenet.arch import SUPERNET, Arch
from scalenet.weights import WeightsError, read_weights, save_weights

RUN = ("recipe", "steps", "minutes")


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
    state, metadata = read_weights(file)
    if not {"arch", "task", "figures", *RUN} <= metadata.keys():
        raise WeightsError(f"{file} was not written by python -m training run")
    if Arch.from_json(metadata["arch"]).name != SUPERNET and "labels" in metadata:
        labels = json.loads(metadata["labels"])
        labels["dataset"] = dataset = dataset or labels["dataset"]
        metadata = {
            "arch": metadata["arch"], "task": metadata["task"], "labels": json.dumps(labels), "format": "scalenet",
            "dataset": dataset,
            "figures": json.dumps({f"{dataset} val": json.loads(metadata["figures"])}),
            "recipe": json.dumps({k: metadata[k] for k in RUN}), "license": terms or metadata.get("license", ""),
        }  # fmt: skip
    else:
        metadata |= {k: v for k, v in (("license", terms), ("dataset", dataset)) if v}
    return save_weights(out, state, metadata, half=True)
