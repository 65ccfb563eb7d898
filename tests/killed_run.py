"""A short run that is killed by test_resume.py: python -m tests.killed_run DATA OUT [key=value ...]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from tests.small_training import tiny_recipe
from training.__main__ import main
from training.engine import Run
from training.overrides import override
from training.recipes import RECIPES

PAUSE = 0.05  # seconds a step takes longer, so that there is time to kill it
PACED = ["steps=12", "early=0.5", "early_size=32x40", "sizes=32x32,64x48", "ema=0.9", "save_minutes=0"]


def paced(step):
    """A step that takes a little longer and says that it is done."""

    def slow(run, *parts):
        report = step(run, *parts)
        print(f"step {run.clock.step}", flush=True)
        time.sleep(PAUSE)
        return report

    return slow


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, out, *changes = sys.argv[1:]
    RECIPES["tiny"] = override(tiny_recipe(Path(data), Path(out)), [*PACED, *changes])
    Run.step = paced(Run.step)
    sys.exit(main(["run", "tiny"]))
