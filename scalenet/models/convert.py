"""Convert other weights to this project's: the authors' checkpoints, timm's HRNet weights.

This and :mod:`.mask_files` are the places that read pickles, and they execute nothing: checkpoints go through
``torch.load`` with ``weights_only=True``.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..archs.arch import Arch, SearchSpace
from ..data.labels import CITYSCAPES, COCO, Labels
from ..nn.heads import count_outputs
from ..nn.network import ScaleNet
from . import checkpoint
from .checkpoint import WeightsError
from .metadata import CheckpointMetadata
from .old_metadata import CONVERTED, SUPERNET_STATISTICS
from .pretrained import Entry

WRAPPERS = ("module", "_orig_mod")  # of DataParallel and torch.compile, which wrap networks and parts of them
CLASSIFIER = ("classifier.", "incre_modules.", "downsamp_modules.")  # of a network trained on ImageNet
HEADS = ("last_layer.", "final_layer.", *CLASSIFIER)
PUBLISHED_DEPTH = 5
State = dict[str, torch.Tensor]


def _numpy_scalars() -> list[Any]:
    """What a training checkpoint's numpy numbers (``best_mIoU``) are made of, by numpy's old and new module names."""
    scalar = (np._core if hasattr(np, "_core") else np.core).multiarray.scalar
    kinds = [type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    return [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"), np.dtype, *kinds]


def read_checkpoint(path: str | Path) -> State:
    """The tensors of a ``.pth`` file, zip or older, bare or under ``state_dict``, prefixes and ``loss.*`` taken off.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if it is no checkpoint of tensors, or holds objects that would have to be executed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    if path.suffix == ".safetensors":
        return clean(checkpoint.read_weights(path)[0], path)
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        reason = "it is damaged, or holds objects that would have to be executed"
        raise WeightsError(f"{path} is not a checkpoint that can be read safely ({reason})") from None
    except Exception as e:  # a damaged or hostile file can make the readers fail in any way
        reason = str(e).splitlines()[0][:100] if str(e) else type(e).__name__
        raise WeightsError(f"{path} is not a checkpoint that can be read safely ({reason})") from None
    return clean(loaded, path)


def clean(loaded: Any, path: str | Path = "the checkpoint") -> State:
    """A checkpoint's tensors under this project's parameter names.

    Raises:
        WeightsError: if there are none.
    """
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    state = {}
    for key, value in loaded.items() if isinstance(loaded, Mapping) else ():
        if isinstance(key, str) and isinstance(value, torch.Tensor):
            name = unwrapped(key)
            if not name.startswith("loss."):
                state[name] = value
    if not state:
        raise WeightsError(f"{path} holds no tensors by name")
    return state


def unwrapped(key: str) -> str:
    """A parameter's name without wrappers' prefixes (``module.``, ``_orig_mod.``, …), nested or not, and ``model.``."""
    parts = [part for part in key.split(".") if part not in WRAPPERS]
    while parts[:-1] and parts[0] == "model":
        parts = parts[1:]
    return ".".join(parts) or key


def hrnet_names(state: Mapping[str, torch.Tensor]) -> State:
    """timm's (and the original) HRNet names, for this space: its one fusion follows the fourth block."""
    return {re.sub(r"^(stage\d\.\d+)\.fuse_layers\.", r"\1.fuse_layers_4.", k): v for k, v in state.items()}


def is_hrnet(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a state dict is an HRNet's (one fusion layer per module)."""
    return any(".fuse_layers." in k for k in state)


def _known_names(arch: Arch, task: str) -> set[str]:
    """Everything a supernet of these widths and modules may hold."""
    depth = max(PUBLISHED_DEPTH, *(d for _, _, m in arch.modules() for d in m.depths))
    space = replace(SearchSpace.around(arch), depths=(1, depth))
    with torch.device("meta"):
        return set(ScaleNet(space.supernet(), task=task).state_dict())


def select_network(
    state: State, arch: Arch, outputs: int | None = None, headless: bool = False
) -> tuple[ScaleNet, State]:
    """The network of an architecture on the meta device, and its state dict selected from a checkpoint's.

    Args:
        outputs: required number of classes or keypoints; None: the checkpoint's.
        headless: the checkpoint has an ImageNet classifier: take the backbone alone.

    Raises:
        WeightsError: if the checkpoint is another network's.
    """
    task = "pose" if headless else arch.task
    if headless:
        state = {k: v for k, v in state.items() if not k.startswith(HEADS)}
    with torch.device("meta"):
        model = ScaleNet(arch, task, 0 if headless else outputs or count_outputs(state, task) or None)
    wanted = model.state_dict()
    filled = {k: torch.zeros((), dtype=torch.long) for k in wanted if k.endswith("num_batches_tracked")}
    what = f"the checkpoint is not one for {arch.name or arch.digest}"
    return model, checkpoint.select(filled | state, model, what, _known_names(arch, task))


def needs_recalibration(arch: Arch, entry: Entry | None, state: State, path: str | Path) -> bool:
    """Whether BatchNorm statistics are a supernet's: they mix all its sub-networks and fit none."""
    if entry is not None and entry.authors_file.startswith("scalenet_"):
        return Path(path).stem.startswith("superscalenet")
    with torch.device("meta"):
        own = set(ScaleNet(arch).state_dict())
    backbone = [k for k in state if not k.startswith(HEADS)]
    return any(k not in own for k in backbone)


def convert_checkpoint(path: str | Path, out: str | Path, arch: Arch, entry: Entry | None = None) -> dict[str, Any]:
    """Write a network's weights, selected from a checkpoint; returns a summary of what was written.

    Args:
        path: the authors' supernet, teacher, fine-tuned or ImageNet ``.pth``, or HRNet weights (.pth, .safetensors).
        arch: the architecture to select.
        entry: the published network it is, if it is one: then the number of outputs must be its own.

    Raises:
        FileNotFoundError, WeightsError: if the file is missing, or something else.
    """
    state = read_checkpoint(path)
    if is_hrnet(state) and arch.digest == Arch.hrnet(arch.width, arch.task).digest:
        state = hrnet_names(state)
    headless = not count_outputs(state, arch.task) and any(k.startswith(CLASSIFIER) for k in state)
    outputs = len(entry.labels.names) if entry and not headless else None
    model, selected = select_network(state, arch, outputs, headless)
    stale = needs_recalibration(arch, entry, state, path)
    labels = entry.labels if entry and not headless else _labels(model)
    known = entry.metadata().without_metrics() if entry and not headless else CheckpointMetadata()
    metadata = replace(
        known, arch=arch, task=model.task, labels=labels, datasets=(labels.dataset,) if labels else (),
        terms=entry.terms if entry else "the terms of the data it was trained on apply", recipe=CONVERTED,
        init=Path(path).name, parent_sha256=checkpoint.digest_of(path), batchnorm=SUPERNET_STATISTICS if stale else "",
    )  # fmt: skip
    checkpoint.save_weights(out, selected, metadata.header())
    return {
        "path": str(out), "arch": arch.name or arch.digest, "task": model.task, "outputs": model.num_classes,
        "entries": len(selected), "of": len(state), "needs_recalibration": stale, "head": not headless,
    }  # fmt: skip


def _labels(model: ScaleNet) -> Labels | None:
    """The paper's data sets by the number of outputs."""
    usual = {("segmentation", len(CITYSCAPES.names)): CITYSCAPES, ("pose", len(COCO.names)): COCO}
    return usual.get((model.task, model.num_classes))
