"""The training loop: one sub-network a step, checkpoints, resume, a log. The same on processors and GPUs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from scalenet.data.io import full_disk_named
from scalenet.models.checkpoint import save_weights

from . import distributed
from .budget import Clock, Timer
from .checkpoint import Checkpointer, State, read_state
from .checks import TrainingError
from .config import Recipe
from .data import iterating, make_loader
from .identity import Identity, check_same_run, identity_of
from .learner import Learner
from .lock import check_free, locked
from .meter import DivergedError, Meter, Report
from .optim import first_not_finite, load_optimizer
from .plotting import plot
from .recalibrate import recalibrate
from .signals import Interrupt, stopped_by
from .start import run_metadata, start_metadata
from .tasks import TASKS
from .tasks.base import Metrics
from .validation import Validations

LOG_EVERY = 20
SAVE, SCORE, SIGNAL = 1, 2, 100  # what processes agree on; the numbers of SIGINT and SIGTERM come after SIGNAL
CALIBRATION = 32  # training images for the BatchNorm statistics of a supernet's largest network


class Run:
    """One recipe being trained; ``run()`` returns the final weight file."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.device = recipe, distributed.start(recipe.run.device)
        distributed.check_shares(recipe.schedule.batch)
        self.folder = Path(recipe.run.out or f"out/training/{recipe.name}")
        self.main = distributed.rank() == 0
        check_free(self.folder)
        self.checkpoints = Checkpointer(self.folder)
        torch.manual_seed(recipe.run.seed)
        self.task = TASKS[recipe.task](recipe, self.device)
        self.task.shared = True
        self.learner = Learner(recipe, self.task, self.device)
        learner = self.learner
        self.model, self.backbone, self.teacher = learner.model, learner.backbone, learner.teacher
        self.optimizer, self.average = learner.optimizer, learner.average
        self.start = start_metadata(recipe.init if self.main else "")
        self.clock, self.meter = Clock(recipe), Meter(self.device, recipe.schedule.batch)
        self.validations = Validations(recipe)
        self._resume()

    # -- checkpoints -------------------------------------------------------------------------------------
    def _resume(self) -> None:
        found = self.checkpoints.read(self.device, quiet=not self.main)
        step = found[1]["step"] if found else 0
        if distributed.agree(step) != step:
            raise TrainingError(f"the processes see different checkpoints in {self.folder}: it must be one for all")
        if found is None:
            return
        path, saved = found
        check_same_run(path, saved["identity"], self._identity(), self.recipe.run.change)
        self._load_weights(saved)
        own = self.recipe.optimisation.optimizer
        if saved["identity"].get("optimizer", own) == own:
            load_optimizer(self.optimizer, saved["optimizer"])
        minutes = saved["identity"].get("minutes", 0.0)
        self.clock.resume(step, saved["elapsed"], saved.get("planned"), minutes)
        self.validations.worse = saved.get("worse", 0)
        self.validations.best = distributed.agree(self.checkpoints.best_metric())

    def _identity(self) -> Identity:
        return identity_of(self.recipe, self.backbone.arch.digest)

    def _state(self) -> State:
        clock, average = self.clock, self.average
        state = {
            "identity": self._identity(), "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": clock.step, "elapsed": clock.elapsed, "planned": clock.planned, "worse": self.validations.worse,
        }  # fmt: skip
        return state if average is None else {**state, "average": average.module.state_dict()}

    def save(self) -> None:
        """Write a checkpoint (rank 0; the others wait in the next agreement).

        Raises:
            TrainingError: if a number in the network is not finite; no checkpoint is written then.
        """
        with self._named_checkpoint():
            self.meter.check()
            distributed.average_buffers(self.model)
            wrong = first_not_finite(self.model)
            if wrong:
                where = f"step {self.clock.step} (architecture {self.backbone.active.digest})"
                raise DivergedError(f"{wrong} is not finite at {where}")
        if self.main:
            self.checkpoints.write(self._state())

    @contextmanager
    def _named_checkpoint(self) -> Iterator[None]:
        """A block whose divergence is told with the checkpoint that is left."""
        try:
            yield
        except DivergedError as e:
            kept = self.checkpoints.step
            last = "there is no checkpoint yet" if kept is None else f"the checkpoint of step {kept} is kept"
            raise TrainingError(f"{e}; {last}; a lower lr helps") from None

    def finish(self) -> Path:
        """Score the network (a supernet: its largest) and write ``final.safetensors``; with ``patience``, of the best
        checkpoint if that scored higher.
        """
        path = self.folder / "final.safetensors"
        metrics = self._write_final(path)
        best = distributed.agree(self.checkpoints.best_metric() if self.recipe.run.patience else float("-inf"))
        if best > (metrics[self.task.metric] or 0.0):
            self._return_to_best()
            metrics = self._write_final(path)
        if self.main:
            self._log({"step": self.clock.step, "final": metrics, **self.task.protocol_note()})
            self._keep_best(metrics[self.task.metric] or 0.0)
            plot(self.folder)
        return path

    def _write_final(self, path: Path) -> Metrics:
        """Write the weights as the run gives them, score them, and write them with the metrics."""
        images = self._settle()
        budget = self.clock.step, self.clock.elapsed / 60
        metadata = run_metadata(self.recipe, self.backbone, self.start, *budget, images)
        if self.main:
            save_weights(path, self.backbone.state_dict(), metadata.header())  # whatever comes of scoring
        metrics = self.task.evaluate(self.model)
        if self.main:
            measured = {self.task.validation: {self.recipe.data.val_split: metrics}}
            metadata = replace(metadata, metrics=measured, protocol=self.task.protocol)
            save_weights(path, self.backbone.state_dict(), metadata.header())
        return metrics

    def _return_to_best(self) -> None:
        saved = read_state(self.checkpoints.best, self.device)
        self._load_weights(saved)
        self.clock.step = saved["step"]

    def _load_weights(self, saved: State) -> None:
        self.model.load_state_dict(saved["model"])
        if self.average is not None:
            self.average.module.load_state_dict(saved.get("average", saved["model"]))

    def _settle(self) -> int:
        """Make the model what the run gives, in evaluation mode; returns how many images BatchNorm was measured on.

        A supernet's running statistics mix all sub-networks, an average's are of other weights: both get new ones.
        """
        distributed.average_buffers(self.model)
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        if self.learner.supernet:
            self.backbone.activate(self.learner.largest)
        images = CALIBRATION if self.learner.supernet or self.average is not None else 0
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
            self.clock.started = self.saved = time.monotonic()
            self.validations.begin(self.clock)
            self.learner.train()
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
            self.task.source, recipe.schedule.batch, clock.size, seed=recipe.run.seed, start=clock.step,
            rank=distributed.rank(), world=distributed.world_size(), workers=recipe.run.workers,
            skip=recipe.data.damaged == "skip",
        )  # fmt: skip

    def _loop(self, loader: Iterable[list[torch.Tensor]], bar: tqdm, interrupt: Interrupt) -> None:
        """Steps to the end of the run, or of its timed start, or until it is of no more use."""
        clock, wishes = self.clock, distributed.Wishes()
        self.saved = time.monotonic()
        timer = Timer(clock.block) if clock.timing else None
        with iterating(loader) as batches:
            while not (clock.over or self.validations.hopeless):
                batch = self.meter.next(batches)
                report = self.step(*(t.to(self.device, non_blocking=True) for t in batch))
                self.meter.add(report)
                clock.step += 1
                if clock.step % LOG_EVERY == 0:
                    self._report(report, bar)
                if timer is not None:
                    self._time(timer)
                wish = wishes.heard(self._due(interrupt))
                planned = timer is not None and not clock.timing
                if wish or planned:
                    self.save()
                    self.saved = time.monotonic()
                if wish == SCORE:
                    self._score()
                if wish > SIGNAL:
                    raise stopped_by(wish - SIGNAL)
                if planned:
                    return

    def _due(self, interrupt: Interrupt) -> int:
        """What this process wants done after a step: a number of those above, 0 for nothing."""
        if interrupt.asked:
            return SIGNAL + interrupt.asked
        if self.validations.due(self.clock):
            return SCORE
        return SAVE if time.monotonic() - self.saved > 60 * self.recipe.run.save_minutes else 0

    def _score(self) -> None:
        """Score the network in mid-run, on all processes, and keep the checkpoint just written if it is the best."""
        before = {k: v.clone() for k, v in self.model.state_dict().items()}
        arch = self.backbone.active
        self._settle()
        metrics = self.task.evaluate(self.model)
        self.backbone.activate(arch)
        self.model.load_state_dict(before)
        self.learner.train()
        score = distributed.agree(metrics[self.task.metric] or 0.0)
        self.validations.add(score, self.clock)
        ended = (
            {"ended": f"{self.validations.worse} scores in a row were no better"} if self.validations.hopeless else {}
        )
        self._log({"step": self.clock.step, "validation": metrics, **self.task.protocol_note(), **ended})
        self._keep_best(score)

    def _keep_best(self, metric: float) -> None:
        if self.main and metric > self.checkpoints.best_metric():
            self.checkpoints.write_best(metric)

    def _time(self, timer: Timer) -> None:
        """Note what the last step took; when that tells how many fit into the minutes, log it."""
        clock = self.clock
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # in the timed start alone
        timer.tick(clock.step - 1, clock.size(clock.step - 1))
        clock.plan(timer)
        if not clock.timing:
            self._log({"step": clock.step, "planned_steps": clock.total})

    def _report(self, report: Report, bar: tqdm) -> None:
        """Log what the steps since the last report were like; the mean loss, as sub-networks are of all sizes."""
        with self._named_checkpoint():
            report = {**{k: v for k, v in report.items() if k != "norm"}, **self.meter.read()}
        self._log(report)
        where = f"{report['step'] + 1}/{self.clock.total or '?'}"
        bar.set_postfix(step=where, loss=f"{report['loss']:.3f}", lr=f"{report['lr']:.1e}", refresh=False)
        bar.update(round(100 * self.clock.progress - bar.n, 1))

    def step(self, images: torch.Tensor, *targets: torch.Tensor) -> Report:
        """One optimiser step, see :meth:`~training.learner.Learner.step`."""
        return self.learner.step(self.clock.step, self.clock.progress, images, *targets)

    def _log(self, record: dict) -> None:
        if not self.main:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with full_disk_named(log := self.folder / "log.jsonl"), log.open("a") as f:
            f.write(json.dumps({**record, "seconds": round(self.clock.elapsed, 1)}) + "\n")
