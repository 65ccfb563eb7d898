"""A recipe is checked when it is made, whoever makes it; a wrong value is named with what it may be."""

import dataclasses
import math

import pytest

from training.__main__ import main
from training.config import CHOICES, RecipeError
from training.overrides import override
from training.recipes import RECIPES
from training.tasks import TASKS

WRONG = {
    "task": ["pose2d", ""], "mode": ["supernets"], "optimizer": ["adamx"], "decay": ["linear"], "autocast": ["fp8"],
    "convention": ["left"], "batch": [0, -1, "8"], "lr": [0.0, math.nan, math.inf], "early": [1.1], "ema": [1.0, -0.1],
    "workers": [-1], "steps": [-1], "seed": [-1], "distill": [math.nan], "size": [(0, 48), (48,)],
    "sizes": [((32, -1),)], "scale": [(2.0, 0.5), (0.0, 1.0)], "people": [(3, 2), (0, 2)], "milestones": [(0.5, 2.0)],
    "change": [("lrr",), ("space",), ("change",)],
}  # fmt: skip


@pytest.mark.parametrize("key, value", [(key, value) for key, values in WRONG.items() for value in values])
def test_a_value_that_cannot_be_is_refused_and_named(key, value):
    with pytest.raises(RecipeError, match=key):
        dataclasses.replace(RECIPES["s0_supernet"], **{key: value})


def test_a_budget_is_needed():
    with pytest.raises(RecipeError, match="needs steps or minutes"):
        dataclasses.replace(RECIPES["s0_supernet"], minutes=0.0)


@pytest.mark.parametrize("text, words", [("optimizer=admw", "did you mean adamw"), ("change=lr,bacth", "mean batch")])
def test_a_typo_is_one_line_before_anything_is_read(text, words, capsys):
    assert main(["run", "s0_teacher", "root=/nowhere", "init=/nowhere", text]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


@pytest.mark.parametrize("text", ["workers=1_0", "lr=1_0e-3", "size=1_28x128"])
def test_numbers_are_written_without_underscores(text):
    with pytest.raises(RecipeError, match=text.split("=")[1]):
        override(RECIPES["s0_teacher"], [text])


def test_every_task_can_be_chosen():
    assert set(CHOICES["task"]) == set(TASKS)


def test_the_changes_of_a_run_are_a_list():
    assert override(RECIPES["s0_teacher"], ["change=lr,batch", "lr=1e-3"]).change == ("lr", "batch")
