"""Minutes become a number of steps after a timed start; from then on the step alone says how far a run is."""

import json
import time

import pytest

from training.budget import Clock, Timer, fitting
from training.engine import Run


def test_steps_say_how_far_a_run_is(recipe):
    clock = Clock(recipe.changed(steps=8))
    assert (clock.total, clock.timing, clock.progress, clock.over) == (8, False, 0.0, False)
    clock.step = 6
    assert clock.progress == 0.75
    clock.step = 8
    assert clock.over and clock.progress == 1.0


@pytest.mark.parametrize("early", [0.0, 0.25, 1.0])
def test_the_steps_that_fit_take_the_time_that_is_left(early):
    for done in (0, 30, 400):
        total = fitting(done, 1000.0, early, 0.5, 2.0)
        spent = sum(0.5 if step / total < early else 2.0 for step in range(done, total))
        assert spent == pytest.approx(1000.0, abs=4.1)


def run_timed(recipe, monkeypatch, seconds):
    """The clock of a run whose steps take ``seconds`` of a size, when its plan is made."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(recipe)
    timer, sizes = Timer(clock.block), []
    while clock.timing:
        sizes.append(clock.size(clock.step))
        now[0] += 60.0 if clock.step < 3 else seconds[sizes[-1]]  # the first ones are slow
        clock.step += 1
        timer.tick(clock.step - 1, sizes[-1])
        clock.plan(timer)
    return clock, sizes, now[0]


def test_every_size_is_timed_and_the_plan_holds_what_the_minutes_do(recipe, monkeypatch):
    several = recipe.changed(steps=0, minutes=100.0, early=0.5, early_size=(32, 32), sizes=((64, 64),), batch=2)
    seconds = {(32, 32): 1.0, (48, 48): 2.0, (64, 64): 4.0}
    clock, sizes, spent = run_timed(several, monkeypatch, seconds)
    assert min(sizes.count(size) for size in seconds) >= 20 and spent < 0.2 * 6000
    left = sum(seconds[clock.size(step)] for step in range(clock.step, clock.total))
    assert spent + left == pytest.approx(6000, rel=0.03)
    later = Clock(several)
    later.resume(clock.step + 7, 1.0, clock.planned, 100.0)
    assert [later.size(s) for s in range(999)] == [clock.size(s) for s in range(999)]
    longer = Clock(several.changed(minutes=200.0))
    longer.resume(clock.step, 1.0, clock.planned, 100.0)
    assert longer.total == 2 * clock.total


def test_a_short_run_is_planned_in_its_first_fifth(recipe, monkeypatch):
    short = recipe.changed(steps=0, minutes=5.0, mode="standalone")
    clock, _, spent = run_timed(short, monkeypatch, {(48, 48): 1.0})
    assert clock.step == 1 and spent == 60.0 and clock.total == 5
    limited = Clock(short.changed(steps=3))
    limited.resume(2, 1.0, 9, 5.0)
    assert limited.total == 3


def test_a_run_of_seconds_ends_about_on_time_and_says_its_steps(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("training.engine.plot", lambda folder: None)
    run = Run(recipe.changed(steps=0, minutes=0.05, early=0.5, early_size=(32, 32), mode="standalone"))
    monkeypatch.setattr(run, "finish", lambda: run.clock.elapsed)
    seconds = run.run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (planned,) = (line["planned_steps"] for line in lines if "planned_steps" in line)
    assert planned == run.clock.step == run.clock.total
    assert 1.0 < seconds < 12.0
