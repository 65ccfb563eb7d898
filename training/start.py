"""What a run begins with: an encoding by name, and the weights of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from scalenet.arch import Arch, SearchSpace
from scalenet.convert import hrnet_names, is_hrnet, read_checkpoint
from scalenet.metadata import CheckpointMetadata
from scalenet.network import ScaleNet
from scalenet.weights import digest_of, read_metadata

from .config import Recipe, TrainingError


def named_arch(space: SearchSpace, name: str) -> Arch:
    """An encoding of the space: largest, smallest, hrnet, or a JSON file.

    Raises:
        FileNotFoundError, ArchError: if it is none of these, or outside the space.
    """
    named = {"largest": space.largest, "smallest": space.smallest, "hrnet": space.hrnet}
    if name not in named and not Path(name).is_file():
        raise FileNotFoundError(f"no encoding {name!r}: give {', '.join(named)} or a JSON file")
    return named[name]() if name in named else space.validate(Arch.load(name))


def load_start(trunk: nn.Module, path: str) -> int:
    """Copy the entries of a weight file that fit; returns how many. What the file lacks stays as it is.

    Args:
        path: this project's or timm's safetensors, or the authors' ``.pth`` (their ImageNet supernets, for one).
    """
    state = read_checkpoint(path)
    state = hrnet_names(state) if is_hrnet(state) else state
    own = trunk.state_dict()
    fit = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not fit:
        raise TrainingError(f"{path} holds nothing that fits this network")
    trunk.load_state_dict(fit, strict=False)
    return len(fit)


def start_metadata(path: str) -> CheckpointMetadata:
    """What is known of weights that begin with those of a file: what these learned from, its name and its hash.

    Args:
        path: as for :func:`load_start`; "" for random weights.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, or says of itself what cannot be.
    """
    if not path:
        return CheckpointMetadata()
    known = read_metadata(path) if path.endswith(".safetensors") else CheckpointMetadata()
    return replace(known.inherited(), init=Path(path).name, parent_sha256=digest_of(path))


def run_metadata(
    recipe: Recipe, trunk: ScaleNet, start: CheckpointMetadata, steps: int, minutes: float, pictures: int = 0
) -> CheckpointMetadata:
    """What is known of a run's weights before they are measured.

    Args:
        start: of what they began from.
        pictures: training pictures that BatchNorm statistics were measured on; 0: they are training's own.
    """
    datasets = [Path(root).name for root in (recipe.root, *recipe.more_roots)]
    terms = "the terms of the data it was trained on apply"
    return CheckpointMetadata(
        arch=trunk.arch, task=recipe.task, labels=trunk.labels,
        datasets=tuple(dict.fromkeys((*datasets, *start.datasets))),
        terms=terms_after(terms, start.terms), recipe=recipe.name, steps=steps, minutes=round(minutes, 1),
        init=start.init, parent_sha256=start.parent_sha256, space=recipe.space,
        batchnorm=f"recalibrated on {pictures} training pictures" if pictures else "",
    )  # fmt: skip


def terms_after(own: str, start: str) -> str:
    """Terms of weights that began from others with terms of theirs."""
    return f"{own}; the weights it began from: {start}" if start else own
