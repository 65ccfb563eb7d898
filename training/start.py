"""What a run begins with: an encoding by name, and the weights of a file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from scalenet.arch import Arch, SearchSpace
from scalenet.convert import hrnet_names, is_hrnet, read_checkpoint

from .recipes import TrainingError


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
