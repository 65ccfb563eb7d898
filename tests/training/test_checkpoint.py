"""Checkpoints: three and the best, whole or refused; one run in a folder; another run's is refused by name."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import TRAILER, Checkpointer
from training.checks import TrainingError
from training.config import OF_THE_MACHINE, OF_THE_NETWORK, Recipe
from training.engine import Run
from training.identity import differences, identity_of, plain
from training.lock import NAME, check_free, locked

from .test_engine import batch

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def state_of(step):
    return {"identity": {"seed": 0}, "model": {"a": torch.arange(99.0)}, "optimizer": {}, "step": step, "elapsed": 1.0}


@pytest.fixture
def written(tmp_path):
    """A folder with the checkpoints of steps 3, 4 and 5."""
    checkpoints = Checkpointer(tmp_path)
    for step in range(1, 6):
        checkpoints.write(state_of(step))
    return tmp_path


def step_of(folder):
    return Checkpointer(folder).read(CPU)[1]["step"]


# -- files -----------------------------------------------------------------------------------------------------
def test_the_last_three_are_kept_and_plain_torch_reads_them(written):
    assert sorted(p.name for p in written.iterdir()) == ["checkpoint.1.pt", "checkpoint.2.pt", "checkpoint.pt"]
    names = ("checkpoint.pt", "checkpoint.1.pt", "checkpoint.2.pt")
    assert [torch.load(written / name, weights_only=True)["step"] for name in names] == [5, 4, 3]
    assert (written / names[0]).stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o22))


@pytest.mark.parametrize("place", [0, 700, -TRAILER - 40, -TRAILER, -TRAILER + 3, -40, -1])
def test_a_flipped_bit_is_noticed_wherever_it_is_and_the_one_before_is_used(written, place, caplog):
    path = written / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert step_of(written) == 4
    (record,) = caplog.records
    assert "checkpoint.pt is damaged: going on from step 4 of checkpoint.1.pt" in record.getMessage()


@pytest.mark.parametrize("length", [0, 1, 1000, -TRAILER, -TRAILER + 20, -1])
def test_a_cut_file_is_noticed(written, length):
    path = written / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:length])
    assert step_of(written) == 4


def test_a_damaged_file_takes_no_good_ones_place(written):
    (written / "checkpoint.1.pt").write_bytes(b"")
    checkpoints = Checkpointer(written)
    checkpoints.read(CPU)
    (written / "checkpoint.pt").write_bytes(b"")
    checkpoints.read(CPU)
    checkpoints.write(state_of(6))
    assert [torch.load(p, weights_only=True)["step"] for p in checkpoints.files if p.is_file()] == [6, 3]


def test_none_that_is_whole_is_one_line(written):
    for path in written.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"^.*checkpoint.pt, checkpoint.1.pt, checkpoint.2.pt is damaged.*anew$"):
        Checkpointer(written).read(CPU)
    assert Checkpointer(written / "new").read(CPU) is None


def test_the_best_is_kept_beside_them(written):
    checkpoints = Checkpointer(written)
    assert checkpoints.best_metric() == float("-inf")
    checkpoints.write_best(0.25)
    assert checkpoints.best_metric() == 0.25 and checkpoints.best.name == "checkpoint.best.pt"
    for path in checkpoints.files:
        path.unlink()
    assert step_of(written) == 5, "the last that is left"


def test_a_full_disk_costs_nothing_but_the_new_one(written):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises((OSError, TrainingError)):
            Checkpointer(written).write(state_of(6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert step_of(written) == 5 and len(list(written.iterdir())) == 3


def test_what_killed_writers_left_is_removed_and_no_link_is_followed(written):
    outside = written.parent / "outside"
    outside.write_text("mine")
    stale = [".checkpoint.0123abcd.tmp", ".checkpoint.4711.tmp.pt", ".final.4711.tmp.safetensors",
             ".checkpoint.best.4711-0a1b2c3d-0123456789abcdef.tmp.pt"]  # fmt: skip
    for name in stale[1:]:
        (written / name).write_text("half")
    (written / stale[0]).symlink_to(outside)
    (written / ".mine.tmp").write_text("not a run's")
    Checkpointer(written).remove_temporaries()
    assert [p.name for p in written.iterdir() if p.name.startswith(".")] == [".mine.tmp"]
    (written / "checkpoint.pt").unlink()
    (written / "checkpoint.pt").symlink_to(outside)
    Checkpointer(written).write(state_of(7))
    assert outside.read_text() == "mine" and not (written / "checkpoint.pt").is_symlink()


# -- one run in a folder -----------------------------------------------------------------------------------------
HOLD = """
import os, sys, time
from pathlib import Path
from training.lock import locked
with locked(Path(sys.argv[1])):
    if os.fork() == 0:  # as a loader's worker, which outlives its run
        time.sleep(30)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_is_dead(recipe, tmp_path):
    folder = tmp_path / "run"
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "held\n"
    try:
        with pytest.raises(TrainingError, match=r"^another run is training in .*run: wait for its end, or name"):
            Run(recipe)
    finally:
        first.kill()
        first.wait()
    check_free(folder)
    with locked(folder), pytest.raises(TrainingError, match="another run is training"):
        check_free(folder)
    assert (folder / NAME).is_file()


def test_a_look_at_a_folder_writes_nothing(tmp_path):
    check_free(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_run_does_not_go_on_from_before_what_another_has_written(recipe):
    late, early = Run(recipe), Run(recipe)
    early.save()
    with pytest.raises(TrainingError, match=r"has trained in .* meanwhile"):
        late.run()


# -- whose checkpoint it is --------------------------------------------------------------------------------------
OTHER = {
    "seed": 1, "batch": 4, "lr": 0.5, "size": (32, 48), "sizes": ((32, 32),), "early_size": (32, 32), "early": 0.5,
    "ohem": 0.5, "weight_decay": 0.5, "bn_momentum": 0.5, "eps": 1e-3, "optimizer": "adam", "decay": "cosine",
    "warmup": 9, "ema": 0.5, "sandwich": 1, "distill": 0.25, "teacher": "t", "mix": 0.5, "dusk": 0.5, "clip": 1.0,
    "scale": (0.6, 2.0), "rotation": 1.0, "rescale": 0.1, "half_body": 0.1, "colour": 0.1, "split": "val",
}  # fmt: skip


def test_every_field_tells_runs_apart_but_the_machines(recipe):
    own = identity_of(recipe, "x")
    for key, value in OTHER.items():
        other = identity_of(recipe.changed(**{key: value}), "x")
        assert differences(own, other) == {key: (plain(recipe.flat()[key]), plain(value))}
    inplace = recipe.changed(sandwich=1, inplace=0.5)
    assert differences(own, identity_of(inplace, "x")).keys() == {"sandwich", "inplace"}
    machine = {"out": "o", "device": "auto", "workers": 3, "cache": False, "save_minutes": 0.0, "autocast": "bf16",
               "checkpointing": True, "validate_minutes": 1.0, "validations": 2, "patience": 3}  # fmt: skip
    assert {*machine, "compile"} == set(OF_THE_MACHINE)
    assert not differences(own, identity_of(recipe.changed(**machine), "x"))
    assert set(own) == {*Recipe.fields()} - {*OF_THE_MACHINE, "name", "change"} | {"recipe"}


def test_a_longer_budget_is_the_same_run_and_a_shorter_one_is_not(recipe):
    def differ(was, now):
        a, b = (identity_of(recipe.changed(**budget), "x") for budget in (was, now))
        return list(differences(a, b))

    assert not differ({"steps": 4}, {"steps": 9}) and not differ({"minutes": 1.0}, {"minutes": 2.0})
    assert differ({"steps": 4}, {"steps": 0, "minutes": 2.0}) == ["minutes"], "an end where there was none"
    assert differ({"steps": 9}, {"steps": 4}) == ["steps"]
    assert differ({"minutes": 2.0}, {"minutes": 1.0}) == ["minutes"]


def test_a_run_made_in_python_can_be_read_back(recipe, tmp_path):
    own = recipe.changed(root=Path(recipe.data.root), lr=np.float64(1e-3), sizes=[[32, 32]])
    Run(own).save()
    assert Run(own).checkpoints.step == 0
    assert Run(recipe.changed(sizes=((32, 32),))).checkpoints.step == 0


def test_what_a_checkpoint_does_not_know_had_its_default(recipe):
    own = identity_of(recipe, "x")
    older = {k: v for k, v in own.items() if k != "dusk"}
    assert not differences(older, own)
    assert differences(older, {**own, "dusk": 0.5}) == {"dusk": (0.0, 0.5)}


def test_another_runs_values_are_named_and_changed_on_request(recipe):
    run = Run(recipe)
    run.step(*batch())
    run.clock.step = 1
    run.save()
    other = recipe.changed(lr=0.5, weight_decay=0.25)
    with pytest.raises(TrainingError, match=r"lr is 0.001 there and 0.5 here"):
        Run(other)
    with pytest.raises(TrainingError, match="add change=lr,weight_decay if that is meant"):
        Run(other.changed(change=("lr",)))
    changed = Run(other.changed(change=("lr", "weight_decay")))
    assert changed.clock.step == 1 and changed.optimizer.param_groups[0]["weight_decay"] == 0.25
    changed.save()
    assert Run(other).clock.step == 1, "from then on it is that run"
    kind = other.changed(optimizer="sgd", ema=0.5, change=("optimizer", "ema"))
    assert Run(kind).run().is_file()


def test_another_network_cannot_be_asked_for(recipe):
    Run(recipe).save()
    assert "mode" in OF_THE_NETWORK
    with pytest.raises(TrainingError, match="mode is 'supernet' there and 'standalone' here; move it away"):
        Run(recipe.changed(mode="standalone"))


def test_a_checkpoint_of_the_first_form_is_resumed(recipe, tmp_path):
    run = Run(recipe)
    run.step(*batch())
    fields = ("mode", "root", "split", "classes", "init")
    identity = {k: str(recipe.flat()[k]) for k in fields}
    identity |= {"recipe": recipe.name, "space": repr(recipe.space), "arch": run.backbone.arch.digest}
    state = {
        "identity": identity, "model": run.model.state_dict(), "optimizer": run.optimizer.state_dict(), "step": 1,
        "elapsed": 30.0,
    }  # fmt: skip
    (tmp_path / "run").mkdir()
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    assert Run(recipe).clock.step == 1
    by_minutes = Run(recipe.changed(steps=0, minutes=10.0))
    assert by_minutes.clock.total == 20, "it goes on at its pace"
    state["identity"]["classes"] = "7"
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(TrainingError, match="classes is '7' there and 3 here"):
        Run(recipe)


# -- numbers that are none ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("where, words", [("loss", "the loss is nan"), ("gradient", "the gradient is (nan|inf)")])
def test_a_diverged_run_keeps_its_last_checkpoint(recipe, where, words, tmp_path):
    run = Run(recipe.changed(save_minutes=0.0, clip=0.0))
    original = run.step

    def step(images, *targets):
        if run.clock.step == 2 and where == "loss":
            run.model.last_layer[3].bias.data.fill_(float("nan"))
        if run.clock.step == 2 and where == "gradient":
            run.model.last_layer[3].bias.register_hook(lambda gradient: gradient * float("nan"))
        return original(images, *targets)

    run.step = step
    with pytest.raises(
        TrainingError, match=rf"^{words} at step 2 \(architecture \w+\); the checkpoint of step 2 is kept"
    ):
        run.run()
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2 and all(v.isfinite().all() for v in state["model"].values())


def test_a_network_that_is_not_finite_is_not_written(recipe, tmp_path):
    run = Run(recipe)
    run.model.conv1.weight.data[0, 0, 0, 0] = float("inf")
    with pytest.raises(TrainingError, match=r"conv1\.weight is not finite at step 0 .*there is no checkpoint yet"):
        run.save()
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_the_best_of_a_run_is_kept_by_its_metric(recipe, monkeypatch):
    metrics = iter([0.5, 0.25, 0.75])
    monkeypatch.setattr("training.engine.plot", lambda folder: None)
    kept = []
    for steps in (1, 2, 3):
        run = Run(recipe.changed(steps=steps))
        monkeypatch.setattr(run.task, "evaluate", lambda model: {"miou": next(metrics)})
        run.run()
        kept.append(torch.load(run.checkpoints.best, weights_only=True))
    assert [(best["step"], best["metric"]) for best in kept] == [(1, 0.5), (1, 0.5), (3, 0.75)]
