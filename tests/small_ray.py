"""Ray on this machine with two processor cores and little memory, for a test module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def two_cores() -> Iterator[Any]:
    """Ray, until the ``with`` block ends; the test is skipped where it is not installed."""
    pytest.importorskip("ray", reason="pip install 'scalenet[ray]'")
    from scalenet.ray import import_ray

    ray = import_ray()
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False, logging_level="ERROR",
        runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.getcwd()}},
    )  # fmt: skip
    try:
        yield ray
    finally:
        ray.shutdown()
