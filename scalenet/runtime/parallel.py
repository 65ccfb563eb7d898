"""A batch on a processor: its parts side by side, each on cores of its own, instead of one after another on all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Output = TypeVar("Output", torch.Tensor, tuple[torch.Tensor, ...])


def parallel_forward(forward: Callable[[torch.Tensor], Output], x: torch.Tensor) -> Output:
    """``forward(x)`` without gradients, for a function that treats the images of a batch alike and one by one.

    On a processor the batch is dealt out to as many threads as there are images, or torch's thread count, each of
    which has its share of that count: cores that each work on an image wait for each other less than cores that share
    every layer. Elsewhere, and for one image, it is just called.

    Args:
        forward: a tensor, or a tuple of tensors, with the batch first.
        x: (B, …).
    """
    forward = torch.inference_mode()(forward)
    if x.device.type != "cpu" or len(x) < 2:
        return forward(x)
    with _building:
        threads = torch.get_num_threads()
        workers = min(len(x), threads)
        pool = _pool(workers, threads // workers)
    parts = list(pool.map(forward, x.tensor_split(workers)))
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else tuple(map(torch.cat, zip(*parts, strict=True)))


_building = threading.Lock()  # which changes torch's default for a moment


@lru_cache(maxsize=16)
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Threads that each have so many of torch's."""
    before, begun = torch.get_num_threads(), threading.Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first look sets it to torch's default
        torch.set_num_threads(threads)  # of this thread, and the default
        begun.wait()

    pool = ThreadPoolExecutor(workers, "scalenet", begin)
    for _ in range(workers):
        pool.submit(int)
    begun.wait()
    torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
