"""What a run's last steps were like: left on the device until it is read, so that no step waits for another."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import torch

from . import distributed
from .checks import TrainingError

Report = dict[str, Any]
_log = logging.getLogger(__name__)


class DivergedError(TrainingError):
    """A loss, gradient or weight that is not finite."""


class Meter:
    """Losses, gradients' norms and times of steps since the last report.

    Args:
        batch: images of a step, over all processes together.
    """

    def __init__(self, device: torch.device, batch: int) -> None:
        self.device, self.batch = device, batch
        self._pending: list[Report] = []
        self.damaged, self._named = 0, set[str]()
        self._start()

    def _start(self) -> None:
        self._losses: list[float] = []
        self._began, self._waited = time.monotonic(), 0.0

    def next(self, batches: Iterator[list[Any]]) -> list[torch.Tensor]:
        """The next batch; the time that it takes is time spent waiting for data.

        Images that were skipped are counted, and each is named once.
        """
        began = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - began
        if isinstance(batch[-1], torch.Tensor):
            return batch
        *tensors, texts = batch
        for said in filter(None, "\n".join(texts).split("\n")):
            self.damaged += 1
            if said not in self._named:
                _log.warning("skipped: %s", said)
                self._named.add(said)
        return tensors

    def add(self, report: Report) -> None:
        """What a step was: ``loss`` and ``norm`` are tensors that may still be computed."""
        self._pending.append(report)

    def check(self) -> None:
        """Read what is not read yet; every process sees the mean over all of them.

        Raises:
            DivergedError: on all processes, if a loss or a gradient of any of them is not finite.
        """
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        values = torch.stack([torch.stack([r["loss"].float(), r["norm"].float()]) for r in pending])
        losses, norms = (distributed.total(values) / distributed.world_size()).T.tolist()
        for report, loss, norm in zip(pending, losses, norms, strict=True):
            for name, value in (("loss", loss), ("gradient", norm)):
                if not math.isfinite(value):
                    where = f"step {report['step']} (architecture {report['arch']})"
                    raise DivergedError(f"the {name} is {value} at {where}")
        self._losses += losses

    def read(self) -> dict[str, float]:
        """Mean loss, images a second, the share of time spent waiting for data and, on a GPU, the most memory in GiB.

        Where this process has skipped damaged images, also how often so far.

        Raises:
            DivergedError: as :meth:`check`.
        """
        self.check()
        losses, seconds = self._losses, max(time.monotonic() - self._began, 1e-9)
        found = {
            "loss": math.fsum(losses) / len(losses),
            "images_per_second": round(self.batch * len(losses) / seconds, 2),
            "waiting": round(self._waited / seconds, 4),
        }
        if self.damaged:
            found["damaged"] = self.damaged
        if self.device.type == "cuda":
            found["memory_gib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)
        self._start()
        return found
