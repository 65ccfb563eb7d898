"""The training loop: one sub-network a step, checkpoints, resume, a log. The same on processors and GPUs."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import nn
from tqdm import tqdm

from scalenet.arch import Arch
from scalenet.predict.images import normalise
from scalenet.weights import save_weights
from scalenet.whole import whole_file

from . import distributed
from .curves import plot
from .data import make_loader
from .interrupt import Interrupt
from .optim import learning_rate, make_optimizer
from .recalibrate import recalibrate
from .recipes import Recipe, RecipeError, TrainingError, nearest
from .schedule import step_archs
from .start import load_start, named_arch, run_metadata, start_metadata
from .tasks import TASKS

LOG_EVERY = 20
AUTOCAST = ("off", "bf16")
CALIBRATION = 32  # training pictures for the BatchNorm statistics of a supernet's largest network


class Clock:
    """How far the run is, 0..1, by steps or by minutes of training (time while stopped does not count)."""

    def __init__(self, recipe: Recipe) -> None:
        if not recipe.steps and not recipe.minutes:
            raise RecipeError(f"recipe {recipe.name} needs steps or minutes")
        self.recipe, self.step, self.before, self.started = recipe, 0, 0.0, time.monotonic()
        self.progress = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, resumes included."""
        return self.before + time.monotonic() - self.started

    def tick(self) -> None:
        """Look at the clock; all ranks agree on what it says."""
        parts = [self.step / self.recipe.steps] if self.recipe.steps else []
        parts += [self.elapsed / 60 / self.recipe.minutes] if self.recipe.minutes else []
        self.progress = distributed.agree(min(1.0, max(parts)))

    def size(self, step: int) -> tuple[int, int]:
        """Picture size of a step, asked for now."""
        recipe = self.recipe
        if self.progress < recipe.early:
            return recipe.early_size
        sizes = (recipe.size, *recipe.sizes)
        return sizes[random.Random(f"{recipe.seed}/size/{step}").randrange(len(sizes))]


def detached(output: Any) -> Any:
    """A network's output, one tensor or several, without its history."""
    return output.detach() if isinstance(output, torch.Tensor) else type(output)(*(t.detach() for t in output))


class Run:
    """One recipe being trained; ``run()`` returns the final weight file."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        try:
            self.device = distributed.start(recipe.device)
        except ValueError as e:
            raise RecipeError(str(e)) from None
        if recipe.task not in TASKS:
            raise RecipeError(f"unknown task {recipe.task!r}: {nearest(recipe.task, list(TASKS))}")
        if recipe.autocast not in AUTOCAST:
            raise RecipeError(f"autocast must be {' or '.join(AUTOCAST)}, got {recipe.autocast!r}")
        if (recipe.sandwich and recipe.stage != "supernet") or (recipe.inplace and not recipe.sandwich):
            raise RecipeError("sandwich is for a supernet, and inplace for a sandwich: its largest network teaches")
        if not 0 <= recipe.ema < 1:
            raise RecipeError(f"ema must lie in 0..1, got {recipe.ema}")
        if recipe.batch < 1 or recipe.batch % distributed.world():
            raise RecipeError(f"batch={recipe.batch} cannot be shared out evenly to {distributed.world()} processes")
        self.folder = Path(recipe.out or f"out/training/{recipe.name}")
        self.main = distributed.rank() == 0
        torch.manual_seed(recipe.seed)
        self.task = TASKS[recipe.task](recipe, self.device)
        self.supernet = recipe.stage == "supernet"
        self.largest = recipe.space.largest()
        whole = self.supernet or recipe.arch == "largest"
        self.model = self.task.build(recipe.space.supernet() if whole else named_arch(recipe.space, recipe.arch))
        self.trunk = self.task.trunk(self.model)
        if whole:
            self.trunk.activate(self.largest)
        if recipe.init:
            load_start(self.trunk, recipe.init, recipe.init_partial)
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
        if self.device.type == "cuda" and distributed.world() > 1:
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.model.to(self.device, memory_format=torch.channels_last)

    def _make_teacher(self) -> nn.Module | None:
        if not self.recipe.teacher or not self.recipe.distill:
            return None
        return self.task.teacher().eval().to(self.device, memory_format=torch.channels_last)

    # -- checkpoints -------------------------------------------------------------------------------------
    def _identity(self) -> dict[str, str]:
        same = {k: str(getattr(self.recipe, k)) for k in ("stage", "root", "split", "classes", "init")}
        return {"recipe": self.recipe.name, "space": repr(self.recipe.space), "arch": self.trunk.arch.digest, **same}

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as e:  # a damaged file can make the reader fail in any way
            raise TrainingError(f"{path} is damaged ({str(e)[:80]}); move it away to start anew") from None
        if saved["identity"] != self._identity():
            raise TrainingError(
                f"{path} belongs to another run ({saved['identity']}); move it away, or name another folder"
            )
        self.model.load_state_dict(saved["model"])
        if self.average is not None:
            self.average.module.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.clock.step, self.clock.before = saved["step"], saved["elapsed"]

    def save(self) -> None:
        """Write the checkpoint (rank 0; the others wait in the next agreement)."""
        distributed.average_buffers(self.model)
        if not self.main:
            return
        state = {
            "identity": self._identity(), "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": self.clock.step, "elapsed": self.clock.elapsed,
        }  # fmt: skip
        if self.average is not None:
            state["average"] = self.average.module.state_dict()
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def finish(self) -> Path:
        """Score the network (a supernet: its largest) and write ``final.safetensors``."""
        distributed.average_buffers(self.model)
        path = self.folder / "final.safetensors"
        budget = self.clock.step, self.clock.elapsed / 60
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        if self.supernet:
            self.trunk.activate(self.largest)
        pictures = CALIBRATION if self.supernet or self.average is not None else 0
        if pictures:
            # a supernet's running statistics mix all sub-networks, an average's are of other weights;
            # SyncBatchNorm needs every rank for new ones
            recalibrate(self.model, self.task.calibration(pictures))
        if not self.main:
            return path
        self.model.eval()
        metadata = run_metadata(self.recipe, self.trunk, self.start, *budget, pictures)
        save_weights(path, self.trunk.state_dict(), metadata.header())  # whatever comes of scoring
        figures = self.task.evaluate(self.model)
        metadata = replace(metadata, metrics={self.task.validation: {self.recipe.val_split: figures}})
        save_weights(path, self.trunk.state_dict(), metadata.header())
        self._log({"step": self.clock.step, "final": figures})
        plot(self.folder)
        return path

    # -- the loop ------------------------------------------------------------------------------------------
    def run(self) -> Path:
        """Train to the end of the budget, saving every ``save_minutes``, at the end and when interrupted.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, when the checkpoint is written.
        """
        recipe, clock = self.recipe, self.clock
        clock.started = time.monotonic()
        clock.tick()  # the first pictures are asked for at the size of now, also after a resume
        loader = make_loader(
            self.task.source, recipe.batch, clock.size, seed=recipe.seed, start=clock.step,
            rank=distributed.rank(), world=distributed.world(), workers=recipe.workers,
        )  # fmt: skip
        self.model.train()
        bar = tqdm(total=100, unit="%", disable=not self.main, desc=recipe.name, mininterval=2)
        with bar, Interrupt() as interrupt:
            self._loop(loader, bar, interrupt)
        self.save()
        return self.finish()

    def _loop(self, loader: Iterable[list[torch.Tensor]], bar: tqdm, interrupt: Interrupt) -> None:
        clock, saved, losses = self.clock, time.monotonic(), []
        for batch in loader:
            clock.tick()
            if clock.progress >= 1:
                break
            report = self.step(*(t.to(self.device, non_blocking=True) for t in batch))
            clock.step += 1
            losses.append(report["loss"])
            if clock.step % LOG_EVERY == 0:  # the mean: a supernet's steps are of sub-networks of all sizes
                report["loss"] = sum(losses) / len(losses)
                losses.clear()
                self._log(report)
                bar.set_postfix(step=clock.step, loss=f"{report['loss']:.3f}", lr=f"{report['lr']:.1e}", refresh=False)
                bar.update(round(100 * clock.progress - bar.n, 1))
            since = distributed.agree(math.inf if interrupt.asked else time.monotonic() - saved)
            if since > 60 * self.recipe.save_minutes:
                self.save()
                saved = time.monotonic()
            if since == math.inf:
                raise KeyboardInterrupt

    def step(self, images: torch.Tensor, *targets: torch.Tensor) -> dict[str, float]:
        """One optimiser step on one sub-network, or on those of a sandwich, whose gradients add up."""
        recipe, clock = self.recipe, self.clock
        rate = learning_rate(recipe, clock.progress, clock.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = normalise(images).contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        archs = step_archs(recipe, clock.step) if self.supernet else [self.trunk.active]
        total, best, wanted = 0.0, None, self._wanted(archs, x)
        for arch in archs:
            loss, output = self._loss(arch, x, targets, wanted, best)
            (loss / len(archs)).backward()
            total += loss.item() / len(archs)
            if best is None and recipe.inplace and arch == self.largest:
                best = detached(output)
        if not math.isfinite(total):
            raise TrainingError(f"the loss is {total} at step {clock.step}; a lower lr helps")
        distributed.average_gradients(self.model.parameters())
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
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
            self.trunk.activate(arch)
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
        with (self.folder / "log.jsonl").open("a") as f:
            f.write(json.dumps({**record, "seconds": round(self.clock.elapsed, 1)}) + "\n")
