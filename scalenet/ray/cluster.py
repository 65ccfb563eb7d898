"""Ray's cluster: joined at an address, or started on this machine."""

from __future__ import annotations

import os
import socket
from typing import Any

PATIENCE = 5.0  # seconds for an address to answer
OWN = ("", "auto", "local")  # addresses that name no machine


def import_ray() -> Any:
    """The ``ray`` package, which sends no usage statistics unless it was told to.

    Raises:
        ImportError: if it is missing, saying how to get it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # an actor without GPUs sees none
    try:
        import ray
    except ImportError:
        raise ImportError("Ray is missing: pip install 'scalenet[ray]'") from None
    return ray


def start_ray(address: str = "", cpus: int | None = None) -> bool:
    """Join a Ray cluster, or start Ray on this machine; returns whether it was not running in this process before.

    Args:
        address: HOST:PORT of the cluster's head, ray://HOST:PORT for Ray's client, "auto" for the one that this machine
            is part of; "" takes what this process has joined already, else starts Ray here.
        cpus: processor cores that a Ray started here may use; default all.

    Raises:
        ConnectionError: if nothing answers at the address, or it is another cluster than the one already joined.
        ImportError: if Ray is missing.
    """
    ray = import_ray()
    if address not in OWN:
        _reach(address)
    if ray.is_initialized():
        joined = ray.get_runtime_context().gcs_address
        if address not in OWN and address.removeprefix("ray://") != joined:
            raise ConnectionError(
                f"this process is part of the Ray cluster at {joined}: ray.shutdown() before {address}"
            )
        return False
    here: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if address in ("", "local") else {}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **here)
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise ConnectionError(f"no Ray cluster can be joined at {address or 'this machine'}: {e}") from None
    return True


def _reach(address: str) -> None:
    """Raises ConnectionError unless something listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit() and 0 < int(port) < 65536):
        raise ConnectionError(f"a Ray address is HOST:PORT, ray://HOST:PORT or auto, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except OSError as e:
        why = e.strerror or str(e)
        raise ConnectionError(f"no Ray cluster answers at {address} ({why}): is `ray start --head` running?") from None
