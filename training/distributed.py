"""Several processes, one network: gradients are averaged by hand, so that each step can use another sub-network.

Works alone, under ``torchrun`` on GPUs (NCCL) and on processors (gloo).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn

from scalenet.runtime.device import pick_device

from .config import RecipeError


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
    if join and "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
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


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients that this step made; parameters without one stay without.

    All ranks run the same sub-network in a step, so they hold the same set.
    """
    if world_size() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch._utils._flatten_dense_tensors(grads)
    dist.all_reduce(flat)
    flat /= world_size()
    for grad, mean in zip(grads, torch._utils._unflatten_dense_tensors(flat, grads), strict=True):
        grad.copy_(mean)


def agree(value: float) -> float:
    """Rank 0's value, on every rank."""
    if world_size() == 1:
        return value
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    box = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(box, 0)
    return box.item()


def average_buffers(model: nn.Module) -> None:
    """Average BatchNorm statistics over the ranks (on processors, where there is no SyncBatchNorm)."""
    if world_size() == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= world_size()
