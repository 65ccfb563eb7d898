"""The training loop: one sub-network a step, checkpoints, resume, a log. The same on processors and GPUs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from scalenet.arch import Arch
from scalenet.data.images import normalise
from scalenet.data.io import full_disk_named
from scalenet.models.checkpoint import save_weights

from . import distributed
from .budget import Clock, Timer
from .checkpoint import Checkpointer, State
from .config import Recipe, TrainingError
from .data import iterating, make_loader
from .identity import Identity, check_same_run, identity_of
from .lock import check_free, locked
from .optim import first_not_finite, learning_rate, load_optimizer, make_optimizer
from .plotting import plot
from .recalibrate import recalibrate
from .sampling import step_archs
from .signals import Interrupt, stopped_by
from .start import arch_of_space, load_start, run_metadata, start_metadata
from .tasks import TASKS

LOG_EVERY = 20
SAVE = -1  # agreed on between processes, beside the numbers of signals
CALIBRATION = 32  # training images for the BatchNorm statistics of a supernet's largest network


def detached(output: Any) -> Any:
    """A network's output, one tensor or several, without its history."""
    return output.detach() if isinstance(output, torch.Tensor) else type(output)(*(t.detach() for t in output))


class Run:
    """One recipe being trained; ``run()`` returns the final weight file."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.device = recipe, distributed.start(recipe.device)
        distributed.check_shares(recipe.batch)
        self.folder = Path(recipe.out or f"out/training/{recipe.name}")
        self.main = distributed.rank() == 0
        check_free(self.folder)
        self.checkpoints = Checkpointer(self.folder)
        torch.manual_seed(recipe.seed)
        self.task = TASKS[recipe.task](recipe, self.device)
        self.supernet = recipe.mode == "supernet"
        self.largest = recipe.space.largest()
        whole = self.supernet or recipe.arch == "largest"
        self.model = self.task.build(recipe.space.supernet() if whole else arch_of_space(recipe.space, recipe.arch))
        self.backbone = self.task.backbone(self.model)
        if whole:
            self.backbone.activate(self.largest)
        if recipe.init:
            load_start(self.backbone, recipe.init, recipe.init_partial)
        self.start = start_metadata(recipe.init if self.main else "")
        self._place()
        self.teacher = self._make_teacher()
        self.optimizer = make_optimizer(recipe, self.model)
        self.average = ModelEmaV3(self.model, recipe.ema, use_warmup=True, exclude_buffers=True) if recipe.ema else None
        self.clock = Clock(recipe)
        self._resume()

    def _place(self) -> None:
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = self.recipe.bn_momentum
        if self.device.type == "cuda" and distributed.world_size() > 1:
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.model.to(self.device).to(memory_format=torch.channels_last)

    def _make_teacher(self) -> nn.Module | None:
        if not self.recipe.teacher or not self.recipe.distill:
            return None
        return self.task.teacher().eval().to(self.device).to(memory_format=torch.channels_last)

    # -- checkpoints -------------------------------------------------------------------------------------
    def _resume(self) -> None:
        found = self.checkpoints.read(self.device, quiet=not self.main)
        step = found[1]["step"] if found else 0
        if distributed.agree(step) != step:
            raise TrainingError(f"the processes see different checkpoints in {self.folder}: it must be one for all")
        if found is None:
            return
        path, saved = found
        check_same_run(path, saved["identity"], self._identity(), self.recipe.change)
        self.model.load_state_dict(saved["model"])
        if self.average is not None:
            self.average.module.load_state_dict(saved.get("average", saved["model"]))
        if saved["identity"].get("optimizer", self.recipe.optimizer) == self.recipe.optimizer:
            load_optimizer(self.optimizer, saved["optimizer"])
        minutes = saved["identity"].get("minutes", 0.0)
        self.clock.resume(step, saved["elapsed"], saved.get("planned"), minutes)

    def _identity(self) -> Identity:
        return identity_of(self.recipe, self.backbone.arch.digest)

    def _state(self) -> State:
        clock, average = self.clock, self.average
        state = {
            "identity": self._identity(), "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": clock.step, "elapsed": clock.elapsed, "planned": clock.planned,
        }  # fmt: skip
        return state if average is None else {**state, "average": average.module.state_dict()}

    def save(self) -> None:
        """Write a checkpoint (rank 0; the others wait in the next agreement).

        Raises:
            TrainingError: if a number in the network is not finite; no checkpoint is written then.
        """
        distributed.average_buffers(self.model)
        wrong = first_not_finite(self.model)
        if wrong:
            raise self._diverged(f"{wrong} is not finite at", self.clock.step, self.backbone.active)
        if self.main:
            self.checkpoints.write(self._state())

    def _diverged(self, what: str, step: int, arch: Arch) -> TrainingError:
        kept = self.checkpoints.step
        last = "there is no checkpoint yet" if kept is None else f"the checkpoint of step {kept} is kept"
        return TrainingError(f"{what} step {step} (architecture {arch.digest}); {last}; a lower lr helps")

    def finish(self) -> Path:
        """Score the network (a supernet: its largest) and write ``final.safetensors``."""
        budget, path = (self.clock.step, self.clock.elapsed / 60), self.folder / "final.safetensors"
        images = self._settle()
        if not self.main:
            return path
        metadata = run_metadata(self.recipe, self.backbone, self.start, *budget, images)
        save_weights(path, self.backbone.state_dict(), metadata.header())  # whatever comes of scoring
        metrics = self.task.evaluate(self.model)
        metadata = replace(metadata, metrics={self.task.validation: {self.recipe.val_split: metrics}})
        save_weights(path, self.backbone.state_dict(), metadata.header())
        self._log({"step": self.clock.step, "final": metrics})
        if metrics[self.task.metric] > self.checkpoints.best_metric():
            self.checkpoints.write_best(metrics[self.task.metric])
        plot(self.folder)
        return path

    def _settle(self) -> int:
        """Make the model what the run gives, in evaluation mode; returns how many images BatchNorm was measured on.

        A supernet's running statistics mix all sub-networks, an average's are of other weights: both get new ones.
        """
        distributed.average_buffers(self.model)
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        if self.supernet:
            self.backbone.activate(self.largest)
        images = CALIBRATION if self.supernet or self.average is not None else 0
        if images:  # SyncBatchNorm needs every rank for it
            recalibrate(self.model, self.task.calibration(images))
        self.model.eval()
        return images

    # -- the loop ------------------------------------------------------------------------------------------
    def run(self) -> Path:
        """Train to the end of the budget, saving every ``save_minutes``, at the end and when interrupted.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM (``Terminated``), when the checkpoint is written.
            TrainingError: if another run is in the folder, or the network diverges.
        """
        with locked(self.folder):
            if self.main:
                self.checkpoints.check_unchanged()
                self.checkpoints.remove_temporaries()
            self.clock.started = time.monotonic()
            self.model.train()
            bar = tqdm(total=100, unit="%", disable=not self.main, desc=self.recipe.name, mininterval=2)
            with bar, Interrupt() as interrupt:
                if self.clock.timing:
                    self._loop(self._loader(), bar, interrupt)
                self._loop(self._loader(), bar, interrupt)  # anew: what was asked for ahead had the sizes of before
                bar.update(100 - bar.n)
            self.save()
            return self.finish()

    def _loader(self) -> DataLoader:
        recipe, clock = self.recipe, self.clock
        return make_loader(
            self.task.source, recipe.batch, clock.size, seed=recipe.seed, start=clock.step,
            rank=distributed.rank(), world=distributed.world_size(), workers=recipe.workers,
        )  # fmt: skip

    def _loop(self, loader: Iterable[list[torch.Tensor]], bar: tqdm, interrupt: Interrupt) -> None:
        """Steps to the end of the run, or of its timed start."""
        clock, saved, losses = self.clock, time.monotonic(), []
        timer = Timer(clock.block) if clock.timing else None
        with iterating(loader) as batches:
            while not clock.over:
                report = self.step(*(t.to(self.device, non_blocking=True) for t in next(batches)))
                clock.step += 1
                losses.append(report["loss"])
                if clock.step % LOG_EVERY == 0:  # the mean: a supernet's steps are of sub-networks of all sizes
                    self._report({**report, "loss": sum(losses) / len(losses)}, bar)
                    losses.clear()
                if timer is not None:
                    self._time(timer)
                due = SAVE if time.monotonic() - saved > 60 * self.recipe.save_minutes else 0
                wish = distributed.agree(interrupt.asked or due)
                planned = timer is not None and not clock.timing
                if wish or planned:
                    self.save()
                    saved = time.monotonic()
                if wish > 0:
                    raise stopped_by(int(wish))
                if planned:
                    return

    def _time(self, timer: Timer) -> None:
        """Note what the last step took; when that tells how many fit into the minutes, log it."""
        clock = self.clock
        timer.tick(clock.step - 1, clock.size(clock.step - 1))
        clock.plan(timer)
        if not clock.timing:
            self._log({"step": clock.step, "planned_steps": clock.total})

    def _report(self, report: dict[str, Any], bar: tqdm) -> None:
        self._log(report)
        where = f"{report['step'] + 1}/{self.clock.total or '?'}"
        bar.set_postfix(step=where, loss=f"{report['loss']:.3f}", lr=f"{report['lr']:.1e}", refresh=False)
        bar.update(round(100 * self.clock.progress - bar.n, 1))

    def step(self, images: torch.Tensor, *targets: torch.Tensor) -> dict[str, Any]:
        """One optimiser step on one sub-network, or on those of a sandwich, whose gradients add up."""
        recipe, clock = self.recipe, self.clock
        rate = learning_rate(recipe, clock.progress, clock.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = normalise(images).contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        archs = step_archs(recipe, clock.step) if self.supernet else [self.backbone.active]
        total, best, wanted = 0.0, None, self._wanted(archs, x)
        for arch in archs:
            loss, output = self._loss(arch, x, targets, wanted, best)
            (loss / len(archs)).backward()
            total += loss.item() / len(archs)
            if best is None and recipe.inplace and arch == self.largest:
                best = detached(output)
            if not math.isfinite(total):
                raise self._diverged(f"the loss is {total} at", clock.step, arch)
        distributed.average_gradients(self.model.parameters())
        parameters = list(self.model.parameters())
        norm = nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)
        if not math.isfinite(norm):
            raise self._diverged(f"the gradient is {norm.item()} at", clock.step, arch)
        if recipe.clip:
            nn.utils.clip_grads_with_norm_(parameters, recipe.clip, norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, clock.step)
        return {"step": clock.step, "loss": total, "lr": rate, "progress": clock.progress, "arch": arch.digest}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.autocast == "bf16")

    def _wanted(self, archs: list[Arch], x: torch.Tensor) -> Any:
        """The teacher's outputs; None where there is no teacher, or nobody to be taught."""
        if self.teacher is None or not (self.task.teaches_largest or any(a != self.largest for a in archs)):
            return None
        with torch.no_grad(), self._autocast():
            return self.teacher(x)

    def _loss(
        self, arch: Arch, x: torch.Tensor, targets: tuple[torch.Tensor, ...], wanted: Any, best: Any
    ) -> tuple[torch.Tensor, Any]:
        """A sub-network's loss and output, given what the teacher and the step's largest network make of ``x``."""
        recipe, task = self.recipe, self.task
        if self.supernet:
            self.backbone.activate(arch)
        with self._autocast():
            output = self.model(x)
            loss = task.loss(output, *targets)
            if wanted is not None and (arch != self.largest or task.teaches_largest):
                loss = loss + recipe.distill * task.distillation(output, wanted)
            if best is not None:
                loss = loss + recipe.inplace * task.distillation(output, best)
        return loss, output

    def _log(self, record: dict) -> None:
        if not self.main:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with full_disk_named(log := self.folder / "log.jsonl"), log.open("a") as f:
            f.write(json.dumps({**record, "seconds": round(self.clock.elapsed, 1)}) + "\n")
