"""What earlier versions wrote of weights, brought to today's keys (see :mod:`scalenet.models.metadata`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

SUPERNET_STATISTICS = "a supernet's: recalibrate before use"  # the word for BatchNorm that fits nothing yet
OWN_STATISTICS = "the file's own"
CONVERTED = "convert"
TEXTS = ("protocol", "command")  # stood among the metrics


def upgrade(said: Mapping[str, Any]) -> dict[str, Any]:
    """A weights file's metadata without a format version, by today's keys; values are not checked here.

    Raises:
        ValueError, RecursionError: for metrics that are no JSON.
    """
    new = dict(said)
    dataset = new.pop("dataset", "")
    if dataset:
        new["datasets"] = [dataset]
    new |= _recipe(new.get("recipe", ""))
    if new.get("source"):
        new |= {"recipe": CONVERTED, "init": new["source"], "parent_sha256": new.get("source_sha256", "")}
    if new.get("start"):
        new["init"] = new["start"] if new["start"] != "random" else ""
    if new.get("batchnorm") == OWN_STATISTICS:
        new["batchnorm"] = ""
    metrics = new.pop("figures", "") or {}
    return new | nested(json.loads(metrics) if isinstance(metrics, str) else metrics, dataset)


def _recipe(text: Any) -> dict[str, Any]:
    """Recipe, steps and minutes were one JSON text in what was deployed and packed."""
    try:
        parts = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        parts = None
    if not isinstance(parts, dict):
        return {}
    found = {k: parts[k] for k in ("steps", "minutes", "searched") if parts.get(k)}
    return {"recipe": parts.get("recipe") or parts.get("supernet") or "", **found}


def nested(metrics: Any, dataset: str) -> dict[str, Any]:
    """Metrics as data set -> split -> metric, and the texts that stood among them.

    Args:
        metrics: {"miou": 0.7}, {"camvid val": {"miou": 0.7}} or {"camvid val miou": 0.7, "protocol": "…"}.
        dataset: whose metrics those without a name are.

    Raises:
        ValueError: if they are none of these.
    """
    if not isinstance(metrics, dict):
        raise ValueError("figures: one object is needed")
    found: dict[str, Any] = {"figures": {}}
    for name, value in metrics.items():
        if name in TEXTS:
            found[name] = value
            continue
        place, _, metric = (name, "", "") if isinstance(value, dict) else name.rpartition(" ")
        own, _, split = place.rpartition(" ")
        splits = found["figures"].setdefault(own or dataset or "data", {})
        if isinstance(value, dict):
            splits[split] = value
        else:
            splits.setdefault(split or "val", {})[metric] = value
    return found


def from_origin(said: Any) -> dict[str, Any]:
    """What a hub ``config.json`` said under "origin", by today's keys; values of a wrong type are left out."""
    said = said if isinstance(said, dict) else {}
    texts = {k: said[k] for k in ("network", "terms", "source") if isinstance(said.get(k), str)}
    new: dict[str, Any] = {"network": texts.get("network", ""), "license": texts.get("terms", "")}
    if texts.get("source"):
        source, _, sha256 = texts["source"].partition(", SHA-256 ")
        new |= {"recipe": CONVERTED, "init": source, "parent_sha256": sha256}
    if said.get("usable") is False:
        new["batchnorm"] = SUPERNET_STATISTICS
    if isinstance(said.get("figures"), dict):
        new |= nested(said["figures"], "")
    return new
