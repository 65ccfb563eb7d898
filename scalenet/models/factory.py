"""Create and load networks by name, in this package, training and search; see :mod:`.names`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError

from ..archs.budget import Budget, Limit
from ..archs.tasks import TaskSpec, WrongTask
from ..nn.blocks import unwrap
from ..nn.network import ScaleNet
from ..runtime.device import Device
from . import repository
from .checkpoint import (
    NoWeights,
    WeightsError,
    adopt,
    holds_front,
    read_metadata,
    read_network,
    read_weights,
    select,
    weights_source,
)  # fmt: skip
from .metadata import CheckpointMetadata
from .names import PREFIX, parse_name
from .pretrained import find_entry
from .provenance import mark
from .scalenet import SOURCES  # and all networks are registered with timm

STATE_DICT = ".pt"
NO_ARCH = f"{PREFIX} alone names no network: give one of scalenet list, or a file of weights"


def list_models(pattern: str | None = None, pretrained: bool = False) -> list[str]:
    """Names of registered networks that match a wildcard; ``pretrained`` lists those with weights, with tags."""
    names = timm.list_models(pattern or f"{PREFIX}*", pretrained=pretrained)
    return [n for n in names if n.startswith(PREFIX)]


def create_model(
    name: str,
    pretrained: bool = False,
    *,
    max_macs: Limit | None = None,
    max_params: Limit | None = None,
    max_latency_ms: Limit | None = None,
    **kwargs: Any,
) -> ScaleNet:
    """Create a network: ``timm.create_model`` plus budgets and suggestions for misspelt names.

    Args:
        name: a registered name, with or without a tag ("scalenet_s0.camvid"), "hf-hub:user/repo", "local-dir:path".
        pretrained: load the published weights, which are downloaded only if they are not in the package.
        kwargs: ``num_classes``, ``in_chans``, ``features_only``, ``out_indices``, ``arch``, ``checkpoint_path`` (a
            ``.safetensors`` file, or a plain state dict as ``torch.save(model.state_dict(), "x.pt")`` writes it)…
        max_macs, max_params, max_latency_ms: return the best network of the name's front within these limits, see
            :meth:`scalenet.Front.pick`; only ``num_classes`` can be combined with them.

    Returns:
        A :class:`scalenet.ScaleNet`; with ``features_only``, timm's feature wrapper of one.

    Raises:
        LookupError: for an unknown name (with a suggestion), a repository of another library, or
            :class:`scalenet.NoWeights`.
        OSError: if a repository, folder or ``checkpoint_path`` cannot be read.
        WeightsError, ArchError: if it is damaged, belongs to another network, or is a pickled checkpoint.
        TypeError: for an unknown keyword.
        BudgetError: for an invalid limit, or one that no network of the front meets.
    """
    if budget := Budget.of(max_macs, max_params, max_latency_ms):
        return _model_within(name, pretrained, budget, **kwargs)
    return _timm_model(name, pretrained, kwargs)


def _timm_model(name: str, pretrained: bool, kwargs: dict[str, Any]) -> ScaleNet:
    parsed, cache_dir = parse_name(name), kwargs.get("cache_dir")
    if parsed.kind == "file":
        raise LookupError(f"{name} is a file of weights: give the network's name, and the file as checkpoint_path=")
    config = repository.read_config(parsed, cache_dir) if parsed.kind in ("hub", "folder") else None
    path = kwargs.pop("checkpoint_path", None)
    overlay = dict(kwargs.pop("pretrained_cfg_overlay", None) or {})
    plain = path is not None and Path(path).suffix == STATE_DICT  # says nothing of itself
    known = CheckpointMetadata() if plain or not path else read_metadata(path)
    if plain and not Path(path).is_file():
        raise FileNotFoundError(f"no weights file {path}")
    features = path and kwargs.get("features_only")
    if features:  # the file's names are the whole network's
        pretrained, overlay["file"] = True, str(path)
    own = config if pretrained and not any(overlay.get(k) for k in SOURCES) else None
    if own is not None:
        overlay |= repository.safe_weights(parsed, cache_dir)
    model: Any  # with features_only timm's view of the network
    try:
        model = timm.create_model(str(parsed), pretrained=pretrained, pretrained_cfg_overlay=overlay or None, **kwargs)
    except (SafetensorError, RuntimeError) as e:
        if isinstance(e, NoWeights) or not pretrained:
            raise
        raise WeightsError(f"{name}: its weights are damaged or another network's ({str(e)[:120]})") from e
    if path and not features:
        _read_into(model, path, known, labels="labels" not in kwargs, strict=True)
    elif own is not None and isinstance(model, ScaleNet):
        mark(model, *repository.recorded_metadata(own, str(parsed)))
    return model


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a plain state dict, as written by ``torch.save(model.state_dict(), path)``; nothing in the file is executed
    (``weights_only=True``).

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if it is damaged, or is not a dict of tensors.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # pickle, zipfile and torch each fail in their own ways
        first = (str(e).splitlines() or [""])[0]
        raise WeightsError(f"{path} is damaged or holds more than tensors ({first[:80] or type(e).__name__})") from None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"{path} is no plain state dict: torch.save(model.state_dict(), path) writes one")
    return state


def _model_within(name: str | Path, pretrained: bool, budget: Budget, **kwargs: Any) -> ScaleNet:
    if not pretrained or kwargs.keys() - {"num_classes"}:
        others = ", ".join(kwargs.keys() - {"num_classes"}) or "pretrained=False"
        raise TypeError(f"a budget selects a trained network: it cannot be combined with {others}")
    model = network_within(name, budget)
    if kwargs.get("num_classes") not in (None, model.num_classes):
        model.reset_classifier(kwargs["num_classes"])
    return model


def network_within(
    name: str | Path,
    budget: Budget,
    device: Device = None,
    spec: TaskSpec | None = None,
    engine: str = "torch",
    dtype: str | None = None,
) -> ScaleNet:
    """The best network of a front within a budget.

    Args:
        name: as :class:`scalenet.Front` takes it.
        device, engine, dtype: what a latency limit refers to.
        spec: the required task.

    Raises:
        LookupError, OSError, WeightsError, BudgetError, EngineError, ImportError: as :class:`scalenet.Front` and its
            ``pick``.
        WrongTask: for a front of another task.
    """
    from ..engines.front import Front

    front = Front(name)
    if spec not in (None, front.spec):
        raise WrongTask(f"a {spec.title} network is needed, {name} is a front for {front.spec.name}", front.spec.name)
    return front.extract(front.pick(**asdict(budget), device=device, engine=engine, dtype=dtype))


def load_model(
    name_or_model: str | Path | ScaleNet, checkpoint: str | Path | None = None, pretrained: bool = True
) -> ScaleNet:
    """A network with weights, in evaluation mode.

    Args:
        name_or_model: a registered name, "hf-hub:user/repo", "local-dir:folder", a ``.safetensors`` file of this
            project (for a front, its best member), or a network, which is used as it is, unwrapped from
            ``torch.compile`` or ``DataParallel``.
        checkpoint: a ``.safetensors`` file to load instead of the published weights.
        pretrained: False gives a registered network random weights; other sources always have their own.

    Raises:
        LookupError: for an unknown name, or one without published weights.
        FileNotFoundError, WeightsError, ArchError: for a file or repository that is missing, damaged or another
            network's.
    """
    if not isinstance(name_or_model, (str, Path)):
        model = unwrap(name_or_model)
        if not isinstance(model, ScaleNet):
            raise TypeError(f"a network or the name of one is needed, got {type(model).__name__}")
        return model.eval()
    name = parse_name(name_or_model)
    if str(name) == PREFIX:
        raise LookupError(NO_ARCH)
    if name.kind == "file":
        model = _network_of_file(name.place)
    elif name.kind == "registered":
        model = create_model(str(name), pretrained=pretrained and checkpoint is None)
    else:
        model = _saved_model(str(name), checkpoint is None)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model.eval()


def _network_of_file(path: str) -> ScaleNet:
    if not holds_front(path):
        return read_network(path)
    from ..engines.front import Front

    return Front(path).extract()


def _saved_model(name: str, pretrained: bool) -> ScaleNet:
    """The network of a Hub repository or folder; errors mention the name."""
    try:
        model = create_model(name, pretrained=pretrained)
    except OSError as e:
        offline = " (HF_HUB_OFFLINE is set)" if HF_HUB_OFFLINE else ""
        if not offline and isinstance(e, (LocalEntryNotFoundError, ConnectionError)):
            offline = " (HF_HUB_OFFLINE=1 asks the cache alone)"
        raise FileNotFoundError(f"{name} cannot be read{offline}: {e}") from e
    if not isinstance(model, ScaleNet):
        raise LookupError(f"{name} holds a {type(model).__name__}, which is no network of this project")
    return model


def load_checkpoint(model: ScaleNet, path: str | Path) -> None:
    """Load all of a network's weights, and its labels if present, from a ``.safetensors`` file.

    The file may contain more, such as the whole supernet.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, damaged, or lacks an entry.
    """
    _read_into(model, path, read_metadata(path))


def _read_into(
    model: ScaleNet, path: str | Path, metadata: CheckpointMetadata, labels: bool = True, strict: bool = False
) -> None:
    state = read_state_dict(path) if Path(path).suffix == STATE_DICT else read_weights(path)[0]
    model.load_state_dict(select(state, model, str(path), () if strict else None))
    if labels and metadata.labels is not None:
        model.name_outputs(metadata.labels)
    adopt(model, metadata)


def weights_file(name: str | Path, cache_dir: str | Path | None = None) -> Path:
    """Path of the ``.safetensors`` file with a name's weights, downloaded from the Hub if it is not cached.

    Raises:
        LookupError: for an unknown name, or one without published weights.
        OSError, WeightsError: if it cannot be downloaded or read, or is not the published file.
    """
    parsed = parse_name(name)
    if parsed.kind == "file":
        return Path(parsed.place)
    if parsed.kind != "registered":
        return repository.repository_weights(parsed, cache_dir)
    entry = find_entry(parsed.place, parsed.tag)
    if entry is None:
        raise LookupError(NO_ARCH)
    return Path(weights_source(entry, cache_dir)["file"])


def name_of(name_or_model: str | Path | ScaleNet) -> str:
    """A network's name for reports: the name it was loaded by, else its architecture's."""
    return str(name_or_model) if isinstance(name_or_model, (str, Path)) else name_or_model.arch.name
