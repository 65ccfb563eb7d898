"""Hub repositories and local folders in timm's layout, checked before anything is built from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from timm.models import PretrainedCfg, split_model_name_tag

from ..archs.arch import MAX_INPUT, Arch, ArchError
from ..archs.tasks import TASKS
from ..data.labels import Labels
from .checkpoint import ONLY_CONVERT, WeightsError, hub_file
from .metadata import INPUT, CheckpointMetadata, read_preprocessing
from .names import PREFIX, ModelName, named_arch, parse_name, registered_names

SAFE = "model.safetensors"
CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 24
MAX_OUTPUTS = 1 << 14
MAX_CHANNELS = 1 << 10
CFG_FIELDS = {f.name for f in fields(PretrainedCfg)}
ARGUMENTS = ("arch", "task", "labels", "in_chans", "num_classes", "features_only", "out_indices")


def read_config(name: ModelName, cache_dir: str | Path | None = None) -> dict[str, Any]:
    """The checked ``config.json`` of a repository or folder.

    Raises:
        OSError: if there is none, or it cannot be reached.
        LookupError, WeightsError, ArchError: as :func:`check_config`.
    """
    file = _file(name, CONFIG, cache_dir)
    if not file.is_file():
        raise FileNotFoundError(f"Config file not found: {file}")
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError(f"more than {MAX_CONFIG_BYTES:,} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or "architecture" not in config:
            raise ValueError("an object with an architecture is needed")
    except (ValueError, RecursionError) as e:
        raise WeightsError(f"{name}: its {CONFIG} is not a network's ({type(e).__name__}: {e})") from None
    check_config(*_parts(config), name)
    return config


def _parts(config: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Architecture, cfg and arguments, as timm takes a config apart; in its older form the cfg is all there is."""
    if "pretrained_cfg" not in config:
        cfg = {k: v for k, v in config.items() if k not in ("architecture", "num_features", "labels")}
        return config["architecture"], cfg | {k: config["labels"] for k in ("label_names",) if "labels" in config}, {}
    cfg = config["pretrained_cfg"]
    if isinstance(cfg, dict):
        cfg = cfg | {k: config[k] for k in ("num_classes", "label_names", "label_descriptions") if k in config}
    return config["architecture"], cfg, config.get("model_args", {})


def check_config(architecture: Any, cfg: Any, arguments: Any, what: ModelName) -> None:
    """Check that a config describes a network of this package; every read of one goes through here, timm's too.

    Args:
        architecture, cfg, arguments: its "architecture", "pretrained_cfg" and "model_args".
        what: the repository or folder.

    Raises:
        LookupError: if it is another project's.
        ArchError: if the architecture is malformed, or a text that is no registered name: no file is opened for it.
        WeightsError: if anything else is of a type or size that it cannot have; names it.
    """
    base = split_model_name_tag(architecture)[0] if isinstance(architecture, str) else ""
    if base not in registered_names():
        raise LookupError(f"{what} holds a {str(architecture)[:60]}, which is no network of this project")
    section = "pretrained_cfg"
    try:
        _check_fields(cfg, CFG_FIELDS, CFG_CHECKS)
        read_preprocessing({k: cfg[k] for k in INPUT if cfg.get(k) is not None})
        section = "model_args"
        _check_fields(arguments, ARGUMENTS, ARGUMENT_CHECKS)
        if "out_indices" in arguments and not arguments.get("features_only"):
            raise ValueError("out_indices are of features_only")
        _check_arch(base, arguments)
    except ArchError as e:
        raise ArchError(f"{what}: its {CONFIG}: {e}") from None
    except (ValueError, TypeError, OverflowError) as e:
        raise WeightsError(f"{what}: its {CONFIG}: {section}: {' '.join(str(e).split())[:200]}") from None


def _check_fields(given: Any, known: Collection[str], checks: Mapping[str, Callable[[Any], bool]]) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"an object is needed, not {str(given)[:60]}")
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"unknown {str(key)[:60]!r}")
        if key in checks and not checks[key](value):
            raise ValueError(f"{key} cannot be {str(value)[:60]!r}")


def _check_arch(base: str, arguments: Mapping[str, Any]) -> None:
    arch = arguments.get("arch")
    if base != PREFIX:
        own = [key for key in ("arch", "task") if arguments.get(key) is not None]
        if own:
            raise ValueError(f"{base} has its own {own[0]}")
    elif isinstance(arch, Mapping):
        Arch.from_dict(arch)
    elif not isinstance(arch, str) or named_arch(arch) is None:
        raise ArchError(f"arch: an architecture or a registered name is needed, not {str(arch)[:60]!r}")


def _is_count(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


_is_channels, _is_outputs, _is_side = _is_count(1, MAX_CHANNELS), _is_count(0, MAX_OUTPUTS), _is_count(1, MAX_INPUT)


def _is_size(value: Any) -> bool:
    """[channels, height, width]."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return False
    return _is_channels(value[0]) and _is_side(value[1]) and _is_side(value[2])


def _is_texts(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, (list, tuple, Mapping)) and all(isinstance(text, str) for text in values)


def _is_labels(value: Any) -> bool:
    return value is None or isinstance(Labels.from_dict(value), Labels)  # which raises and says what is wrong


CFG_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "num_classes": _is_outputs,
    "input_size": _is_size,
    "test_input_size": lambda value: value is None or _is_size(value),
    "min_input_size": lambda value: value is None or _is_size(value),
    "fixed_input_size": lambda value: not value,
    "label_names": lambda value: value is None or _is_texts(value),
}
ARGUMENT_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "task": lambda value: value is None or value in TASKS,
    "labels": _is_labels,
    "in_chans": _is_channels,
    "num_classes": lambda value: value is None or _is_outputs(value),
    "features_only": lambda value: isinstance(value, bool),
    "out_indices": lambda value: isinstance(value, (list, tuple)) and all(map(_is_count(-4, 3), value)),
}


def source_of(cfg: Mapping[str, Any]) -> ModelName:
    """The repository or folder that timm read a cfg from."""
    if cfg["source"] == "hf-hub":
        return parse_name(f"hf-hub:{cfg['hf_hub_id']}")
    return ModelName("folder", str(cfg["file"]))


def safe_weights(name: ModelName, cache_dir: str | Path | None = None) -> dict[str, str]:
    """timm's cfg fields that make it read safetensors or nothing; what is on the Hub is downloaded and checked.

    Raises:
        OSError, WeightsError: if there are none, or they are others than the Hub knows.
    """
    repository_weights(name, cache_dir)
    return {"hf_hub_filename": SAFE} if name.kind == "hub" else {}


def repository_weights(name: ModelName, cache_dir: str | Path | None = None) -> Path:
    """The weights file of a repository or folder, downloaded if it is not in the cache.

    Raises:
        OSError, WeightsError: as :func:`safe_weights`.
    """
    try:
        file = _file(name, SAFE, cache_dir)
    except LocalEntryNotFoundError:  # not reached, and not kept
        raise
    except EntryNotFoundError:
        file = None
    if file is None or not file.is_file():
        raise WeightsError(f"{name} has no {SAFE}; {ONLY_CONVERT}")
    return file


def _file(name: ModelName, file: str, cache_dir: str | Path | None) -> Path:
    if name.kind == "folder":
        return Path(name.place) / file
    return hub_file(name.place, file, name.revision, cache_dir)


def recorded_metadata(config: Mapping[str, Any], what: str) -> tuple[CheckpointMetadata, str]:
    """What a config says of its weights, and the fingerprint of these.

    Raises:
        WeightsError: if it says what cannot be.
    """
    said = config.get("metadata", config.get("origin"))
    try:
        if "metadata" not in config:
            metadata = CheckpointMetadata.from_origin(said)
        elif isinstance(said, dict):
            metadata = CheckpointMetadata.from_dict(said)
        else:
            raise ValueError(f"metadata: an object is needed, not a {type(said).__name__}")
    except ValueError as e:
        raise WeightsError(f"{what}: its {CONFIG}: {e}") from None
    return metadata, str(said.get("fingerprint", "")) if isinstance(said, dict) else ""
