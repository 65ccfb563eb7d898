"""Where a network runs."""

from __future__ import annotations

import torch

Device = str | torch.device | None


def pick_device(device: Device = None) -> torch.device:
    """The device asked for, or cuda, mps, cpu, the first there is.

    Raises:
        ValueError: if there is no such device.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device  # numbered: which is the current one differs between threads
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise ValueError(f"device {str(device)!r} cannot be used here ({str(e).splitlines()[0][:80]})") from None
