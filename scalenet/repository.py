"""A hub repository or folder in timm's form, looked into before anything is built from it."""

from __future__ import annotations

import json
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import timm
from timm.models._hub import download_from_hf, load_model_config_from_hf, load_model_config_from_path

from .metadata import CheckpointMetadata
from .weights import ONLY_CONVERT, WeightsError

SAFE = "model.safetensors"
PREFIX = "scalenet"


def check_config(name: str, cache_dir: str | Path | None = None) -> None:
    """Look into the ``config.json`` of a "hf-hub:…" or "local-dir:…" name.

    Raises:
        LookupError: if it names no network of this package.
        OSError: if there is none, or it cannot be reached.
        WeightsError: if it is damaged.
    """
    scheme, _, place = name.partition(":")
    if scheme not in ("hf-hub", "hf_hub", "local-dir") or place.count("@") > 1:
        raise LookupError(f"unknown model {name!r}: hf-hub:user/name[@revision] or local-dir:folder are known")
    try:
        if scheme == "local-dir":
            _, architecture, _ = load_model_config_from_path(place)
        else:
            _, architecture, _ = load_model_config_from_hf(place, cache_dir=cache_dir)
    except (KeyError, AttributeError, TypeError, JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise WeightsError(f"{name}: its config.json is not a network's ({type(e).__name__}: {e})") from None
    if str(architecture).partition(".")[0] not in timm.list_models(f"{PREFIX}*"):
        raise LookupError(f"{name} holds a {str(architecture)[:60]}, which is no network of this project")


def safe_weights(name: str) -> dict[str, str]:
    """timm's cfg fields that make it read safetensors or nothing.

    Raises:
        WeightsError: for a folder without.
    """
    scheme, _, place = name.partition(":")
    if scheme != "local-dir":
        return {"hf_hub_filename": SAFE}
    if not (Path(place) / SAFE).is_file():
        raise WeightsError(f"{name} has no {SAFE}; {ONLY_CONVERT}")
    return {}


def weights_file(name: str, cache_dir: str | Path | None = None) -> Path:
    """Where the weights of a repository or folder are, downloaded if they are not here yet."""
    scheme, _, place = name.partition(":")
    return Path(place) / SAFE if scheme == "local-dir" else Path(download_from_hf(place, SAFE, cache_dir=cache_dir))


def recorded_metadata(name: str, cache_dir: str | Path | None = None) -> tuple[CheckpointMetadata, str]:
    """What the checked config of a repository or folder says of its weights, and the fingerprint of these.

    Raises:
        WeightsError: if it says what cannot be.
    """
    scheme, _, place = name.partition(":")
    file = Path(place) / "config.json"
    if scheme != "local-dir":
        file = Path(download_from_hf(place, "config.json", cache_dir=cache_dir))
    config: Any = json.loads(file.read_text(encoding="utf-8"))
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
