"""Ray on this machine with two processor cores and little memory, for a test module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

# of Ray's processes; its own niceness of 15 would leave actors next to nothing of a busy machine
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "RAY_worker_niceness": "0", "RAY_agent_register_timeout_ms": "200000"}


@contextmanager
def two_cores() -> Iterator[Any]:
    """Ray, until the ``with`` block ends; the test is skipped where it is not installed."""
    pytest.importorskip("ray", reason="pip install 'scalenet[ray]'")
    from scalenet.ray import import_ray

    ray = import_ray()
    with patch.dict(os.environ, ENVIRONMENT, PYTHONPATH=os.getcwd()):
        ray.init(
            "local", num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False,
            logging_level="ERROR",
        )  # fmt: skip
    try:
        yield ray
    finally:
        ray.shutdown()
