"""A run that was stopped or killed, at any step and with any number of workers, is the run that was not."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.engine import Run
from training.overrides import override

from ..killed_run import PACED
from ..small_training import signalled_at, tiny_recipe

ROOT = Path(__file__).parents[2]


def start(data, out, *changes, torchrun=0):
    """A run in a process of its own, or in several, which prints every step."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"] if torchrun else []
    command = [sys.executable, *launch, "-m", "tests.killed_run", str(data), str(out), *changes]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "180")  # torchrun kills after 30 seconds else
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, step):
    for line in process.stdout:
        if line.strip() == f"step {step}":
            return
    pytest.fail(process.stderr.read()[-2000:])


def newest(out):
    return torch.load(out / "checkpoint.pt", weights_only=True)


def same(a, b):
    """Whether two nests of tensors and numbers are equal to the last bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def parts(state):
    """What a run has learned; its rates are set anew in every step."""
    learned = {k: state[k] for k in ("model", "average", "step") if k in state}
    return {**learned, "momenta": state["optimizer"]["state"]}


@pytest.fixture(scope="module")
def whole(camvid, tmp_path_factory):
    """The last checkpoint of the run that nobody stops."""
    out = tmp_path_factory.mktemp("whole") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    Run(override(tiny_recipe(camvid, out), PACED)).run()
    torch.set_num_threads(threads)
    return parts(newest(out))


@pytest.mark.parametrize("workers, others", [(0, 2), (2, 0)])
def test_a_killed_run_goes_on_as_if_it_had_not_been(camvid, whole, tmp_path, workers, others):
    first = start(camvid, tmp_path, f"workers={workers}")
    wait_for(first, random.randrange(1, 9))
    first.kill()
    first.communicate()
    assert newest(tmp_path)["step"] < 12
    second = start(camvid, tmp_path, f"workers={others}")
    _, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    assert same(parts(newest(tmp_path)), whole)


@pytest.mark.parametrize("torchrun", [0, 2])
def test_sigterm_ends_a_run_with_workers_by_a_checkpoint(camvid, tmp_path, torchrun):
    run = start(camvid, tmp_path, "workers=1", "save_minutes=60", "steps=100", torchrun=torchrun)
    wait_for(run, 2)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=200)
    assert 2 < newest(tmp_path)["step"] < 100
    assert err.count("resumes from its checkpoint") == max(1, torchrun), "every process ends in order"
    assert "DataLoader worker" not in err
    assert torchrun or run.returncode == 0, err
    again = Run(override(tiny_recipe(camvid, tmp_path), [*PACED, "save_minutes=60", "steps=100"]))
    assert again.clock.step == newest(tmp_path)["step"], "any number of processes goes on from there"


def test_ctrl_c_is_130(camvid, tmp_path):
    run = start(camvid, tmp_path, "workers=1", "save_minutes=60", "steps=100")
    wait_for(run, 1)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=200)
    assert run.returncode == 130 and 1 < newest(tmp_path)["step"] < 100, err


CRASH = """
import sys
from pathlib import Path
from tests.small_training import tiny_recipe
from training.overrides import override
from training.engine import Run

def step(run, *parts):
    raise RuntimeError("a fault of ours")

Run.step = step
Run(override(tiny_recipe(Path(sys.argv[1]), Path(sys.argv[2])), ["workers=2"])).run()
"""


def test_a_crash_leaves_no_worker_that_waits(camvid, tmp_path):
    command = [sys.executable, "-c", CRASH, str(camvid), str(tmp_path)]
    crashed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert crashed.returncode == 1 and "a fault of ours" in crashed.stderr


def test_a_plan_for_minutes_survives_a_stop(camvid, tmp_path, monkeypatch):
    """Whole and stopped runs by minutes, of the same pace: the plan of the first is in the second's checkpoint."""
    recipe = override(
        tiny_recipe(camvid, tmp_path), ["steps=0", "minutes=1", "early=0.5", "early_size=32x40", "ema=0.9"]
    )
    monkeypatch.setattr("training.budget.Clock.plan", lambda clock, timer: setattr(clock, "planned", 8))
    monkeypatch.setattr("training.engine.Run.finish", lambda run: run.folder)
    Run(recipe.changed(out=str(tmp_path / "whole"))).run()
    stopped = recipe.changed(out=str(tmp_path / "stopped"))
    with pytest.raises(KeyboardInterrupt):
        signalled_at(Run(stopped), 3, signal.SIGTERM).run()
    again = Run(stopped.changed(workers=1))
    assert (again.clock.step, again.clock.total, again.clock.timing) == (4, 8, False)
    again.run()
    assert same(parts(newest(tmp_path / "stopped")), parts(newest(tmp_path / "whole")))
