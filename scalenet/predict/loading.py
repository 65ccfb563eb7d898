"""A network from whatever names it, and the device it runs on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import HF_HUB_OFFLINE, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import LocalEntryNotFoundError

from .. import weights
from ..fold import fold
from ..models import NO_ENCODING, PREFIX, create_model
from ..network import ScaleNet, unwrap
from .images import IMAGENET_MEAN, IMAGENET_STD


def load_model(name_or_model: str | Path | ScaleNet, checkpoint: str | Path | None = None) -> ScaleNet:
    """A network with weights, in evaluation mode.

    Args:
        name_or_model: a registered name, "hf-hub:user/repo", "local-dir:folder", a ``.safetensors`` file of this
            project, or a network, which is taken as it is, also out of ``torch.compile`` or
            ``DataParallel``.
        checkpoint: a ``.safetensors`` file whose weights are read instead of the published ones.

    Raises:
        LookupError: for an unknown name, or one without published weights.
        FileNotFoundError, WeightsError: for a file that is missing, damaged or another network's.
    """
    if not isinstance(name_or_model, (str, Path)):
        model = unwrap(name_or_model)
        if not isinstance(model, ScaleNet):
            raise TypeError(f"a network or the name of one is needed, got {type(model).__name__}")
        return model.eval()
    name = str(name_or_model)
    if name == PREFIX:
        raise LookupError(NO_ENCODING)
    if Path(name).name == SAFETENSORS_SINGLE_FILE and Path(name).with_name("config.json").is_file():
        model = _from_hub(f"local-dir:{Path(name).parent}", checkpoint is None)
    elif name.endswith(".safetensors"):
        model = weights.load_model(name)
    elif ":" in name:
        model = _from_hub(name, checkpoint is None)
    else:
        model = create_model(name, pretrained=checkpoint is None)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model.eval()


def _from_hub(name: str, pretrained: bool) -> ScaleNet:
    """A network of a hub repository or folder; what goes wrong there is said with the name."""
    try:
        model = create_model(name, pretrained=pretrained)
    except OSError as e:
        offline = " (HF_HUB_OFFLINE is set)" if HF_HUB_OFFLINE else ""
        if not offline and isinstance(e, (LocalEntryNotFoundError, ConnectionError)):
            offline = " (HF_HUB_OFFLINE=1 asks the cache alone)"
        raise FileNotFoundError(f"{name} cannot be read{offline}: {e}") from e
    except (TypeError, AttributeError) as e:
        raise weights.WeightsError(f"{name}: its config.json does not describe a network ({str(e)[:120]})") from e
    if not isinstance(model, ScaleNet):
        raise LookupError(f"{name} holds a {type(model).__name__}, which is no network of this project")
    return model


def to_predict(
    model: ScaleNet, source: str | Path | ScaleNet, device: str | torch.device | None
) -> tuple[ScaleNet, torch.device]:
    """A network as predictors run it, and its device: on the device, BatchNorm folded into convolutions.

    Args:
        source: what the network was loaded from; a caller's own, which may go on learning, is moved and not changed.

    Raises:
        ValueError: if it does not read three channels, or there is no such device.
    """
    if model.in_chans != 3:
        raise ValueError(f"a network of RGB pictures is needed, this one reads {model.in_chans} channels")
    place = pick_device(device)
    named = isinstance(source, (str, Path))
    return (fold(model) if named else model).to(place), place


def name_of(name_or_model: str | Path | ScaleNet) -> str:
    """What to call a network in a report: the name it was asked for by, else its encoding's."""
    return str(name_or_model) if isinstance(name_or_model, (str, Path)) else name_or_model.arch.name


def load_checkpoint(model: ScaleNet, path: str | Path) -> None:
    """Read all of a network's weights from a ``.safetensors`` file (more may be in it: a supernet's, for example), and
    what its outputs are, if the file says it.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, damaged, or lacks an entry.
    """
    metadata = weights.read_metadata(path)
    model.load_state_dict(weights.select(weights.read_weights(path)[0], model, str(path)))
    if metadata.labels is not None:
        model.name_outputs(metadata.labels)
    weights.adopt(model, metadata)


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or cuda, mps, cpu, the first there is.

    Raises:
        ValueError: if there is no such device.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device  # numbered: which is the current one differs between threads
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise ValueError(f"device {str(device)!r} cannot be used here ({str(e).splitlines()[0][:80]})") from None


def model_input(model: ScaleNet) -> tuple[tuple[int, int], dict[str, Any]]:
    """(H, W) a network was made for, and the ``mean`` and ``std`` (of values 0..1) its pictures are normalised with.

    Raises:
        WeightsError: if its cfg holds something else.
    """
    cfg = getattr(model, "pretrained_cfg", None) or {}
    size = cfg.get("input_size") or (3, *model.arch.input_size)
    mean, std = cfg.get("mean") or IMAGENET_MEAN, cfg.get("std") or IMAGENET_STD
    try:
        fine = len(size) == 3 and all(int(n) == n >= 1 for n in size) and len(mean) == len(std) in (3, size[0])
        fine = fine and all(map(math.isfinite, mean)) and all(0 < v < math.inf for v in std)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise weights.WeightsError(
            f"its config.json has no input_size, mean and std of pictures: {size}, {mean}, {std}"
        )
    return (int(size[1]), int(size[2])), {"mean": tuple(mean), "std": tuple(std)}
