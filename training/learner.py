"""The network that is trained and what changes it: one optimiser step on one sub-network, or on those of a sandwich."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import torch
from timm.utils import ModelEmaV3
from torch import nn

from scalenet.archs.arch import Arch
from scalenet.data.images import normalise
from scalenet.nn.network import ScaleNet

from . import distributed
from .config import Recipe
from .optim import learning_rate, make_optimizer
from .sampling import step_archs
from .start import arch_of_space, load_start
from .tasks.base import Task

FEW_CROPS = 8  # a GPU with fewer shares its BatchNorm statistics, where the recipe leaves it to us


def detached(output: Any) -> Any:
    """A network's output, one tensor or several, without its history."""
    return output.detach() if isinstance(output, torch.Tensor) else type(output)(*(t.detach() for t in output))


def shares_statistics(recipe: Recipe, device: torch.device) -> bool:
    """Whether BatchNorm looks at all processes' images (SyncBatchNorm, for GPUs alone) or at each one's own."""
    few, kind = recipe.schedule.batch // distributed.world_size() < FEW_CROPS, recipe.optimisation.batchnorm
    wanted = kind == "sync" or (kind == "auto" and few)
    return wanted and device.type == "cuda" and distributed.world_size() > 1


class Learner:
    """A recipe's network with its teacher, optimiser and moving average, on a device."""

    def __init__(self, recipe: Recipe, task: Task, device: torch.device) -> None:
        self.recipe, self.task, self.device = recipe, task, device
        self.supernet, self.largest = recipe.mode == "supernet", recipe.space.largest()
        whole = self.supernet or recipe.arch == "largest"
        self.model = task.build(recipe.space.supernet() if whole else arch_of_space(recipe.space, recipe.arch))
        self.backbone: ScaleNet = task.backbone(self.model)
        if whole:
            self.backbone.activate(self.largest)
        if recipe.init:
            load_start(self.backbone, recipe.init, recipe.init_partial)
        self._place()
        self.teacher = self._make_teacher()
        self.optimizer = make_optimizer(recipe, self.model)
        ema = recipe.optimisation.ema
        self.average = ModelEmaV3(self.model, ema, use_warmup=True, exclude_buffers=True) if ema else None
        self._taught = self.teacher and task.runner(self.teacher)
        self._run = distributed.parallel(self._compiled(task.runner(self.model)), device)

    def _place(self) -> None:
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = self.recipe.optimisation.bn_momentum
        if shares_statistics(self.recipe, self.device):
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.backbone.set_grad_checkpointing(self.recipe.run.checkpointing)
        self.model.to(self.device).to(memory_format=torch.channels_last)

    def _compiled(self, module: nn.Module) -> nn.Module:
        return cast(nn.Module, torch.compile(module)) if self.recipe.run.compile else module

    def _make_teacher(self) -> nn.Module | None:
        distillation = self.recipe.distillation
        if not distillation.teacher or not distillation.distill:
            return None
        return self.task.teacher().eval().to(self.device).to(memory_format=torch.channels_last)

    def train(self) -> None:
        """Training mode; BatchNorm stays as it is in evaluation where the recipe has it frozen."""
        self.model.train()
        if self.recipe.optimisation.batchnorm == "frozen":
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def step(self, step: int, progress: float, images: torch.Tensor, *targets: torch.Tensor) -> dict[str, Any]:
        """Change the weights once; ``loss`` and ``norm`` in what is returned are tensors nobody has waited for."""
        recipe = self.recipe
        rate = learning_rate(recipe, progress, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = normalise(images).contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        archs = step_archs(recipe, step) if self.supernet else [self.backbone.active]
        total, best, wanted = x.new_zeros(()), None, self._wanted(archs, x)
        for left, arch in zip(range(len(archs) - 1, -1, -1), archs, strict=True):
            with distributed.without_averaging(self._run) if left else nullcontext():
                loss, output = self._loss(arch, x, targets, wanted, best)
                (loss / len(archs)).backward()
            total = total + loss.detach() / len(archs)
            if best is None and recipe.distillation.inplace and arch == self.largest:
                best = detached(output)
        norm = self._clipped_norm()
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, step)
        return {"step": step, "loss": total, "norm": norm, "lr": rate, "progress": progress, "arch": arch.digest}

    def _clipped_norm(self) -> torch.Tensor:
        """The gradient's norm; the gradient is clipped to the recipe's."""
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)
        clip = self.recipe.optimisation.clip
        if clip:
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        return norm

    def _autocast(self) -> torch.autocast:
        kind = self.recipe.run.autocast
        wanted = kind == "bf16" or (kind == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted)

    def _teaches(self, arch: Arch) -> bool:
        return arch != self.largest or self.task.teaches_largest or self.recipe.distillation.distill_largest

    def _wanted(self, archs: list[Arch], x: torch.Tensor) -> Any:
        """The teacher's outputs; None where there is no teacher, or nobody to be taught."""
        if self._taught is None or not any(map(self._teaches, archs)):
            return None
        with torch.no_grad(), self._autocast():
            return self._taught(x)

    def _loss(
        self, arch: Arch, x: torch.Tensor, targets: tuple[torch.Tensor, ...], wanted: Any, best: Any
    ) -> tuple[torch.Tensor, Any]:
        """A sub-network's loss and output, given what the teacher and the step's largest network make of ``x``."""
        weights, task = self.recipe.distillation, self.task
        if self.supernet:
            self.backbone.activate(arch)
        with self._autocast():
            output = self._run(x)
            loss = task.loss(output, *targets)
            if wanted is not None and self._teaches(arch):
                loss = loss + weights.distill * task.distillation(output, wanted)
            if best is not None:
                loss = loss + weights.inplace * task.distillation(output, best)
        return loss, output
