"""A training recipe on a tiny space, the size of a test."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import torch

from scalenet.archs.arch import SearchSpace
from scalenet.models.checkpoint import read_metadata, save_weights
from scalenet.nn.network import ScaleNet
from training.config import Recipe
from training.engine import Run
from training.recipes import RECIPES

TINY = {"stem_width": 24, "stage1_width": 16, "modules": (1, 2, 2), "depths": (1, 2)}
SPACE = SearchSpace("segmentation", 8, (64, 80), **TINY)


def tiny_recipe(root: Path, out: Path) -> Recipe:
    """Four steps of a supernet on data in CamVid's form with three classes."""
    return RECIPES["s0_supernet"].changed(
        root=str(root), space=SPACE, classes=3, steps=4, minutes=0.0, batch=2, size=(48, 48),
        early=0.0, init="", teacher="", out=str(out), lr=1e-3, warmup=1, device="cpu",
    )  # fmt: skip


def flat(recipe: Recipe) -> SimpleNamespace:
    """Every setting of a recipe by its name alone."""
    return SimpleNamespace(**recipe.flat())


def write_supernet(path: Path, spread: float = 0.0) -> Path:
    """A random supernet of ``SPACE`` as the training package packs it.

    Args:
        spread: of the classifier's weights, so that scores differ; 0: as they are made.
    """
    torch.manual_seed(0)
    net = ScaleNet(SPACE.supernet(), num_classes=3)
    if spread:
        torch.nn.init.normal_(net.last_layer[3].weight, std=spread)
    header = {"space": json.dumps(dataclasses.asdict(SPACE)), "recipe": "tiny", "license": "for all who test"}
    return save_weights(path, net.state_dict(), header, half=True)


def metrics_of(file: Path) -> dict[str, float | None]:
    """What a run measured on its one data set, as its file says it."""
    (splits,) = read_metadata(file).metrics.values()
    (metrics,) = splits.values()
    return dict(metrics)


def signalled_at(run: Run, at: int, number: signal.Signals) -> Run:
    """The run, which gets a signal when it begins step ``at``."""
    original = run.step

    def step(*batch):
        if run.clock.step == at:
            os.kill(os.getpid(), number)
        return original(*batch)

    run.step = step
    return run
