"""What this machine is, as far as a network's time depends on it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch

from .names import ON_PROCESSORS

PACKAGES = ("torch", *ON_PROCESSORS)  # that run networks


def machine(device: torch.device, packages: Sequence[str] = PACKAGES) -> str:
    """All that a time on a device depends on beside the network: what computes, in how many threads, by what version.

    Args:
        packages: whose versions are told; those that are not installed are left out.
    """
    if device.type == "cuda":
        what = torch.cuda.get_device_name(device)
    else:
        abilities = hashlib.sha256("\n".join(_cpuinfo("flags", "Features")).encode()).hexdigest()[:8]
        where = f"{platform.machine()} {platform.system()} {abilities}, {os.cpu_count()} cores"
        what = f"{device.type} {processor()} ({where}), {torch.get_num_threads()} threads"
    return ", ".join([what, *_versions(tuple(packages))])


def processor() -> str:
    """What the processor calls itself."""
    named = [line.partition(":")[2].strip() for line in _cpuinfo("model name")]
    return named[0] if named else platform.processor() or platform.machine()


@lru_cache(maxsize=8)
def _cpuinfo(*fields: str) -> tuple[str, ...]:
    """The different lines that Linux has on its processors, of the fields that are named."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    return tuple(sorted({line for line in lines if line.startswith(fields)}))


@lru_cache(maxsize=8)
def _versions(packages: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return tuple(found)
