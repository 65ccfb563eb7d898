"""BatchNorm statistics of one sub-network, recomputed on training pictures (paper section 3.4).

A supernet's running statistics mix all sub-networks; a deployed one needs its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def recalibrate(model: nn.Module, batches: Iterable[torch.Tensor]) -> int:
    """Reset BatchNorm statistics and average them over ``batches`` of (B, 3, H, W) inputs; returns how many there were.

    Only BatchNorm layers run in training mode; weights, momenta and modes are as before afterwards.

    Raises:
        ValueError: if there is no batch (the statistics would be left reset).
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    before = [(m, m.momentum, m.training) for m in layers]
    modes = [(m, m.training) for m in model.modules()]
    saved = {m: (m.running_mean.clone(), m.running_var.clone(), m.num_batches_tracked.clone()) for m in layers}
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's word for a cumulative average
        layer.train()
    count = 0
    try:
        with torch.inference_mode():
            for batch in batches:
                model(batch)
                count += 1
    finally:
        for layer, momentum, _ in before:
            layer.momentum = momentum
        for module, mode in modes:
            module.training = mode
    for layer in layers:
        if not layer.num_batches_tracked:  # not on this sub-network's way: nothing was measured
            mean, var, tracked = saved[layer]
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(var)
            layer.num_batches_tracked.copy_(tracked)
    if not count:
        raise ValueError("recalibration needs at least one batch of pictures")
    return count
