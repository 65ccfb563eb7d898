"""Ray on this machine with two processor cores and little memory, for a test module."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

# of Ray's processes; its own niceness of 15 would leave actors next to nothing of a busy machine
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "RAY_worker_niceness": "0", "RAY_agent_register_timeout_ms": "200000"}


REPLACED = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTERM)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back, those of C code too.

    Ray puts its own in the place of faulthandler's, and none where those were when it is shut down: what crashes in a
    later test would end the process without a word.
    """
    libc, terminated = ctypes.CDLL(None), signal.getsignal(signal.SIGTERM)
    before = {number: ctypes.create_string_buffer(256) for number in REPLACED}  # more than a struct sigaction
    for number, action in before.items():
        libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminated)
        for number, action in before.items():
            libc.sigaction(int(number), action, None)


@contextmanager
def two_cores() -> Iterator[Any]:
    """Ray, until the ``with`` block ends; the test is skipped where it is not installed."""
    pytest.importorskip("ray", reason="pip install 'scalenet[ray]'")
    from scalenet.ray import import_ray

    ray = import_ray()
    with handlers_kept(), pytest.MonkeyPatch.context() as patch:  # put back when Ray's threads, which read it, are gone
        for name, value in {**ENVIRONMENT, "PYTHONPATH": os.getcwd()}.items():
            patch.setenv(name, value)
        with handlers_kept():
            ray.init(
                "local", num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False,
                logging_level="ERROR",
            )  # fmt: skip
        try:
            yield ray
        finally:
            ray.shutdown()
