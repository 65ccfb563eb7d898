"""The optimiser a recipe asks for, and its rate at a point of the run."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .config import Recipe


def learning_rate(recipe: Recipe, progress: float, step: int) -> float:
    """The rate at a point of the run: linear warm-up, then poly (power 0.9), cosine or steps."""
    schedule = recipe.schedule
    if schedule.decay == "cosine":
        factor = 0.5 + 0.5 * math.cos(math.pi * progress)
    elif schedule.decay == "steps":
        factor = 0.1 ** sum(progress >= m for m in schedule.milestones)
    else:
        factor = (1 - progress) ** 0.9
    return float(recipe.optimisation.lr) * factor * min(1.0, (step + 1) / max(1, schedule.warmup))


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD; vectors (biases, BatchNorm) are decayed only if the recipe says so.

    A parameter without gradient is left alone. Its settings are plain numbers, as a checkpoint holds no others.
    """
    settings = recipe.optimisation
    lr, decay = float(settings.lr), float(settings.weight_decay)
    vectors = decay if settings.decay_vectors else 0.0
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": vectors},
    ]
    if settings.optimizer == "sgd":
        # not fused: that kind cannot begin the momentum of a part of the parameters, and each sub-network is one
        return torch.optim.SGD(groups, lr=lr, momentum=float(settings.momentum))
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr, eps=float(settings.eps), fused=True)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on with the momenta of a checkpoint under the settings of now (weight decay, eps, momentum)."""
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def first_not_finite(model: nn.Module) -> str:
    """The first parameter or buffer with NaN or infinity in it; "" if all are finite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return name
    return ""
