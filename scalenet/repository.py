"""A hub repository or folder in timm's form, looked into before anything is built from it."""

from __future__ import annotations

import json
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import timm
from timm.models._hub import download_from_hf, load_model_config_from_hf, load_model_config_from_path

from .metadata import CheckpointMetadata
from .names import PREFIX, ModelName
from .weights import ONLY_CONVERT, WeightsError

SAFE = "model.safetensors"


def check_config(name: ModelName, cache_dir: str | Path | None = None) -> None:
    """Look into the ``config.json`` of a repository or folder.

    Raises:
        LookupError: if it names no network of this package.
        OSError: if there is none, or it cannot be reached.
        WeightsError: if it is damaged.
    """
    try:
        if name.kind == "folder":
            _, architecture, _ = load_model_config_from_path(name.place)
        else:
            _, architecture, _ = load_model_config_from_hf(name.hub_id, cache_dir=cache_dir)
    except (KeyError, AttributeError, TypeError, JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise WeightsError(f"{name}: its config.json is not a network's ({type(e).__name__}: {e})") from None
    if str(architecture).partition(".")[0] not in timm.list_models(f"{PREFIX}*"):
        raise LookupError(f"{name} holds a {str(architecture)[:60]}, which is no network of this project")


def safe_weights(name: ModelName) -> dict[str, str]:
    """timm's cfg fields that make it read safetensors or nothing.

    Raises:
        WeightsError: for a folder without.
    """
    if name.kind == "hub":
        return {"hf_hub_filename": SAFE}
    if not (Path(name.place) / SAFE).is_file():
        raise WeightsError(f"{name} has no {SAFE}; {ONLY_CONVERT}")
    return {}


def weights_file(name: ModelName, cache_dir: str | Path | None = None) -> Path:
    """Where the weights of a repository or folder are, downloaded if they are not here yet."""
    return _file(name, SAFE, cache_dir)


def _file(name: ModelName, file: str, cache_dir: str | Path | None) -> Path:
    if name.kind == "folder":
        return Path(name.place) / file
    return Path(download_from_hf(name.hub_id, file, cache_dir=cache_dir))


def recorded_metadata(name: ModelName, cache_dir: str | Path | None = None) -> tuple[CheckpointMetadata, str]:
    """What the checked config of a repository or folder says of its weights, and the fingerprint of these.

    Raises:
        WeightsError: if it says what cannot be.
    """
    config: Any = json.loads(_file(name, "config.json", cache_dir).read_text(encoding="utf-8"))
    said = config.get("metadata", config.get("origin"))
    try:
        if "metadata" not in config:
            metadata = CheckpointMetadata.from_origin(said)
        elif isinstance(said, dict):
            metadata = CheckpointMetadata.from_dict(said)
        else:
            raise ValueError(f"metadata: an object is needed, not a {type(said).__name__}")
    except ValueError as e:
        raise WeightsError(f"{name}: its config.json: {e}") from None
    return metadata, str(said.get("fingerprint", "")) if isinstance(said, dict) else ""
