"""The training loop: one sub-network a step, checkpoints, resume, a log. The same on processors and GPUs."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from scalenet.arch import Arch, SearchSpace
from scalenet.convert import hrnet_names, is_hrnet, read_checkpoint
from scalenet.fold import fold
from scalenet.predict.images import normalise
from scalenet.weights import read_weights, save_weights, select
from scalenet.whole import whole_file

from . import distributed
from .curves import plot
from .data import make_loader
from .interrupt import Interrupt
from .losses import distillation
from .recalibrate import recalibrate
from .recipes import Recipe, RecipeError, TrainingError, nearest
from .schedule import arch_at
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

    def size(self) -> tuple[int, int]:
        """Picture size for now."""
        return self.recipe.early_size if self.progress < self.recipe.early else self.recipe.size


def learning_rate(recipe: Recipe, progress: float, step: int) -> float:
    """The rate at a point of the run: linear warm-up, then poly (power 0.9), cosine or steps."""
    if recipe.decay == "cosine":
        factor = 0.5 + 0.5 * math.cos(math.pi * progress)
    elif recipe.decay == "steps":
        factor = 0.1 ** sum(progress >= m for m in recipe.milestones)
    elif recipe.decay == "poly":
        factor = (1 - progress) ** 0.9
    else:
        raise RecipeError(f"decay must be poly, cosine or steps, got {recipe.decay!r}")
    return recipe.lr * factor * min(1.0, (step + 1) / max(1, recipe.warmup))


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD; vectors (biases, BatchNorm) are not decayed. A parameter without gradient is left alone."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    if recipe.optimizer not in kinds:
        raise RecipeError(f"optimizer must be adamw, adam or sgd, got {recipe.optimizer!r}")
    return kinds[recipe.optimizer](groups, lr=recipe.lr, eps=recipe.eps, fused=True)


def named_arch(space: SearchSpace, name: str) -> Arch:
    """An encoding of the space: largest, smallest, hrnet, or a JSON file.

    Raises:
        FileNotFoundError, ArchError: if it is none of these, or outside the space.
    """
    named = {"largest": space.largest, "smallest": space.smallest, "hrnet": space.hrnet}
    if name not in named and not Path(name).is_file():
        raise FileNotFoundError(f"no encoding {name!r}: give {', '.join(named)} or a JSON file")
    return named[name]() if name in named else space.validate(Arch.load(name))


def load_start(trunk: nn.Module, path: str) -> int:
    """Copy the entries of a weight file that fit; returns how many. What the file lacks stays as it is.

    Args:
        path: this project's or timm's safetensors, or the authors' ``.pth`` (their ImageNet supernets, for one).
    """
    state = read_checkpoint(path)
    state = hrnet_names(state) if is_hrnet(state) else state
    own = trunk.state_dict()
    fit = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not fit:
        raise TrainingError(f"{path} holds nothing that fits this network")
    trunk.load_state_dict(fit, strict=False)
    return len(fit)


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
            load_start(self.trunk, recipe.init)
        self._place()
        self.teacher = self._make_teacher()
        self.optimizer = make_optimizer(recipe, self.model)
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
        teacher = self.task.build(self.recipe.space.supernet())
        state = read_weights(self.recipe.teacher)[0]
        teacher.load_state_dict(select(state, teacher, f"teacher {self.recipe.teacher}"))
        self.task.trunk(teacher).activate(self.largest)
        return fold(teacher).to(self.device, memory_format=torch.channels_last)

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
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def finish(self) -> Path:
        """Score the network (a supernet: its largest) and write ``final.safetensors``."""
        distributed.average_buffers(self.model)
        path = self.folder / "final.safetensors"
        minutes = self.clock.elapsed / 60
        if self.supernet:  # its running statistics mix all sub-networks; SyncBatchNorm needs every rank for new ones
            self.trunk.activate(self.largest)
            recalibrate(self.model, self.task.calibration(CALIBRATION))
        if not self.main:
            return path
        self.model.eval()
        metadata = self._metadata(minutes)
        save_weights(path, self.trunk.state_dict(), metadata)  # whatever comes of scoring
        figures = self.task.evaluate(self.model)
        save_weights(path, self.trunk.state_dict(), metadata | {"figures": json.dumps(figures)})
        self._log({"step": self.clock.step, "final": figures})
        plot(self.folder)
        return path

    def _metadata(self, minutes: float) -> dict[str, str]:
        metadata = {
            "arch": self.trunk.arch.to_json(), "task": self.recipe.task, "recipe": self.recipe.name,
            "space": json.dumps(dataclasses.asdict(self.recipe.space)), "steps": str(self.clock.step),
            "minutes": f"{minutes:.1f}", "dataset": Path(self.recipe.root).name,
            "license": "the terms of the data it was trained on apply",
        }  # fmt: skip
        if self.trunk.labels is not None:
            metadata |= {"labels": json.dumps(self.trunk.labels.to_dict()), "dataset": self.trunk.labels.dataset}
        return metadata

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
        """One optimiser step on one sub-network."""
        recipe, clock = self.recipe, self.clock
        if self.supernet:
            self.trunk.activate(arch_at(recipe.space, clock.step, recipe.seed))
        arch = self.trunk.active
        rate = learning_rate(recipe, clock.progress, clock.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = normalise(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.autocast == "bf16"):
            output = self.model(x)
            loss = self.task.loss(output, *targets)
            if self.teacher is not None and arch != self.largest:
                with torch.no_grad():
                    wanted = self.teacher(x)
                loss = loss + recipe.distill * distillation(output, wanted)
        if not math.isfinite(loss.item()):
            raise TrainingError(f"the loss is {loss.item()} at step {clock.step}; a lower lr helps")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(self.model.parameters())
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        return {"step": clock.step, "loss": loss.item(), "lr": rate, "progress": clock.progress, "arch": arch.digest}

    def _log(self, record: dict) -> None:
        if not self.main:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.jsonl").open("a") as f:
            f.write(json.dumps({**record, "seconds": round(self.clock.elapsed, 1)}) + "\n")
