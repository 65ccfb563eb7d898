"""A hub repository or folder in timm's form, looked into before anything is built from it."""

from __future__ import annotations

import json
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import timm
from timm.models._hub import download_from_hf, load_model_config_from_hf, load_model_config_from_path

from .origin import Origin
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


def recorded_origin(name: str, cache_dir: str | Path | None = None) -> tuple[Origin, str]:
    """Where the weights of a repository or folder whose config was checked are from, and their fingerprint."""
    scheme, _, place = name.partition(":")
    file = Path(place) / "config.json"
    if scheme != "local-dir":
        file = Path(download_from_hf(place, "config.json", cache_dir=cache_dir))
    said: Any = json.loads(file.read_text(encoding="utf-8")).get("origin")
    said = said if isinstance(said, dict) else {}
    return Origin.from_dict(said), str(said.get("fingerprint", ""))
