"""What a run begins with: an architecture by name, and the weights of a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from scalenet.archs.arch import Arch, ArchError, SearchSpace
from scalenet.models.checkpoint import PICKLED, digest_of, read_metadata
from scalenet.models.convert import hrnet_names, is_hrnet, read_checkpoint
from scalenet.models.factory import weights_file
from scalenet.models.metadata import CheckpointMetadata
from scalenet.nn.network import ScaleNet

from . import distributed
from .checks import TrainingError
from .config import Recipe

WHOLE = 0.9  # the share of a backbone that a start must hold
NAMED = 5  # entries that a line names
COUNTER = "num_batches_tracked"  # in no older file, and of no weight


def arch_of_space(space: SearchSpace, name: str) -> Arch:
    """An architecture of the space: largest, smallest, hrnet, hrnet:D (its pattern D blocks deep), or a JSON file.

    Raises:
        FileNotFoundError, ArchError: if it is none of these, or outside the space.
    """
    named = {"largest": space.largest, "smallest": space.smallest, "hrnet": space.hrnet}
    if name not in named and not Path(name).is_file():
        kind, _, depth = name.partition(":")
        if kind == "hrnet" and depth.isdecimal():
            low, high = space.depths
            if not low <= int(depth[:4]) <= high:
                raise ArchError(f"{name} is outside the space, whose branches are {low} to {high} blocks deep")
            return space.hrnet(int(depth[:4]))
        raise FileNotFoundError(f"no architecture {name!r}: give {', '.join(named)}, hrnet:DEPTH or a JSON file")
    return named[name]() if name in named else space.validate(Arch.load(name))


def start_file(name: str | Path) -> Path:
    """The file of a start's or a teacher's weights.

    Args:
        name: a weight file, the authors' ``.pth`` too, or a network's name (see :mod:`scalenet.models.names`).

    Raises:
        LookupError, OSError, WeightsError: if it is none of these, or cannot be had.
    """
    path = Path(name)
    return path if path.suffix in PICKLED or path.is_file() else weights_file(name)


def load_start(network: ScaleNet, name: str | Path, partial: bool = False) -> int:
    """Copy the entries of a weight file that fit; returns how many, and prints it and what stays random.

    Args:
        name: this project's or timm's safetensors, the authors' ``.pth`` (their ImageNet supernets, for one), or a
            network's name.
        partial: whether more than a tenth of the backbone, which is everything but the head, may stay random.

    Raises:
        TrainingError: if more does, and may not.
    """
    state = read_checkpoint(start_file(name))
    state = hrnet_names(state) if is_hrnet(state) else state
    head = next(k for k, m in network.named_children() if m is network.head)
    own = network.state_dict()
    fit = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    backbone = [k for k in own if not k.startswith(f"{head}.") and not k.endswith(COUNTER)]
    random = [k for k in own if k not in fit and not k.endswith(COUNTER)]
    taken = sum(k in fit for k in backbone)
    said = f"init: {taken} of {len(backbone)} backbone entries from {name}{_random(random)}"
    if taken < WHOLE * len(backbone) and not (partial and taken):
        raise TrainingError(f"{said}: less than {WHOLE:.0%} fit this network; another file, or init_partial=true")
    if distributed.rank() == 0:
        print(said, file=sys.stderr)
    network.load_state_dict(fit, strict=False)
    return len(fit)


def _random(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; random: {', '.join(names[:NAMED])}{more}" if names else ""


def start_metadata(name: str) -> CheckpointMetadata:
    """What is known of weights that begin with those of a file: what these learned from, its name and its hash.

    Args:
        name: as for :func:`load_start`; "" for random weights.

    Raises:
        LookupError, OSError, WeightsError: if it is missing, or says of itself what cannot be.
    """
    if not name:
        return CheckpointMetadata()
    path = start_file(name)
    known = read_metadata(path) if path.suffix == ".safetensors" else CheckpointMetadata()
    return replace(known.inherited(), init=path.name, parent_sha256=digest_of(path))


def run_metadata(
    recipe: Recipe, backbone: ScaleNet, start: CheckpointMetadata, steps: int, minutes: float, images: int = 0
) -> CheckpointMetadata:
    """What is known of a run's weights before they are measured.

    Args:
        start: of what they began from.
        images: training images that BatchNorm statistics were measured on; 0: they are training's own.
    """
    datasets = [Path(root).name for root in (recipe.data.root, *recipe.data.more_roots)]
    terms = "the terms of the data it was trained on apply"
    return CheckpointMetadata(
        arch=backbone.arch, task=recipe.task, labels=backbone.labels,
        datasets=tuple(dict.fromkeys((*datasets, *start.datasets))),
        terms=terms_after(terms, start.terms), recipe=recipe.name, steps=steps, minutes=round(minutes, 1),
        init=start.init, parent_sha256=start.parent_sha256, space=recipe.space,
        batchnorm=f"recalibrated on {images} training images" if images else "",
    )  # fmt: skip


def terms_after(own: str, start: str) -> str:
    """Terms of weights that began from others with terms of theirs."""
    return f"{own}; the weights it began from: {start}" if start else own
