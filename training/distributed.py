"""Several processes, one network, by PyTorch's own means: what they average, add up, share out and agree on.

Works alone, under ``torchrun`` on GPUs (NCCL; what is on processors goes over gloo) and on processors (gloo).
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from scalenet.runtime.device import pick_device

from .checks import RecipeError

Item = TypeVar("Item")
MISSING: Any = object()
PATIENCE = timedelta(hours=1)  # one process may read a data set that the others wait for
ASKED_EVERY, MOST_STEPS = 2.0, 20  # seconds and steps after which several processes tell each other what they want


def start(device: str = "auto", join: bool = True) -> torch.device:
    """Join the process group if ``torchrun`` started us; returns the device to train on: auto, cuda, mps or cpu.

    Args:
        join: False for work that one process does by itself; see :func:`first`.

    Raises:
        ValueError: if there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    pick_device(device)
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 where a layer runs in float32
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    if join and "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    return torch.device(device)


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def check_shares(batch: int) -> None:
    """Raises RecipeError if the processes cannot share a batch out evenly."""
    if batch % world_size():
        raise RecipeError(f"batch={batch} cannot be shared out evenly to {world_size()} processes")


def is_rank0() -> bool:
    """Whether this is the first process, or the only one: who does the work of one, without joining the others."""
    return not int(os.environ.get("RANK", 0))


def parallel(module: nn.Module, device: torch.device) -> nn.Module:
    """What to call in place of ``module`` so that a backward pass gives the mean of all processes' gradients.

    PyTorch averages them in buckets while the backward pass is still running. All processes run the same sub-network in
    a step; parameters that none of them used keep no gradient. Buffers stay each process's own.
    """
    if world_size() == 1:
        return module
    ids = [device.index or torch.cuda.current_device()] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(
        module, device_ids=ids, broadcast_buffers=False, find_unused_parameters=True
    )


def without_averaging(module: nn.Module) -> AbstractContextManager[Any]:
    """A block whose gradients pile up in this process; the first backward pass after it averages them, too."""
    return module.no_sync() if isinstance(module, nn.parallel.DistributedDataParallel) else nullcontext()


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, without its history."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def gathered(value: torch.Tensor) -> torch.Tensor:
    """The (n,) tensors of all processes, one after the other."""
    if world_size() == 1:
        return value
    parts = [torch.empty_like(value) for _ in range(world_size())]
    dist.all_gather(parts, value.contiguous())
    return torch.cat(parts)


def gathered_objects(value: Any) -> list[Any]:
    """The values of all processes, by rank."""
    values = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def share(items: Sequence[Item]) -> Sequence[Item]:
    """This process's part of what all of them work through."""
    return items[rank() :: world_size()]


def together(parts: Sequence[Sequence[Item]]) -> list[Item]:
    """What :func:`share` took apart, in its order."""
    rows = itertools.zip_longest(*parts, fillvalue=MISSING)
    return [item for row in rows for item in row if item is not MISSING]


class Wishes:
    """What any process wants of all: to save, or to stop.

    A process alone is heard after every step; several agree about every two seconds, and at least every 20 steps.
    """

    def __init__(self) -> None:
        self.steps, self.left, self.since = 1, 1, time.monotonic()

    def heard(self, wish: int) -> int:
        """The greatest wish of all processes, 0 where there is none or it is not yet time to ask."""
        if world_size() == 1:
            return wish
        self.left -= 1
        if self.left:
            return 0
        pace = (time.monotonic() - self.since) / self.steps
        box = torch.tensor([wish, pace], dtype=torch.float64)
        dist.all_reduce(box, dist.ReduceOp.MAX)
        self.steps = self.left = max(1, min(MOST_STEPS, int(ASKED_EVERY / max(box[1].item(), 1e-6))))
        self.since = time.monotonic()
        return int(box[0].item())


def agree(value: float) -> float:
    """Rank 0's value, on every rank."""
    if world_size() == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(box, 0)
    return box.item()


def average_buffers(model: nn.Module) -> None:
    """Average BatchNorm statistics over the ranks, which are each one's own unless SyncBatchNorm makes them."""
    if world_size() == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= world_size()
