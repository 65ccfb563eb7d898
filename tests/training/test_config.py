"""A recipe is checked when it is made, whoever makes it; a wrong value is named with what it may be."""

import json
import math
from pathlib import Path

import pytest

from training.__main__ import main
from training.checks import RecipeError
from training.config import Recipe
from training.identity import differences, identity_of
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
        RECIPES["s0_supernet"].changed(**{key: value})


def test_a_budget_is_needed():
    with pytest.raises(RecipeError, match="needs steps or minutes"):
        RECIPES["s0_supernet"].changed(minutes=0.0)


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
    assert set(Recipe.CHOICES["task"]) == set(TASKS)


def test_the_changes_of_a_run_are_a_list():
    assert override(RECIPES["s0_teacher"], ["change=lr,batch", "lr=1e-3"]).run.change == ("lr", "batch")


def test_a_setting_has_one_place_and_is_set_by_its_name_alone():
    names = [name for group in Recipe.GROUPS.values() for name in group.fields()]
    assert len(set(names)) == len(names) and not {*names} & {*Recipe.GROUPS, *Recipe.__dataclass_fields__}
    recipe = RECIPES["s0_teacher"]
    assert Recipe.of(**recipe.flat()) == recipe.changed() == recipe
    other = recipe.changed(lr=0.25, classes=3, root="elsewhere")
    assert (other.optimisation.lr, other.classes, other.data.root) == (0.25, 3, "elsewhere")
    assert {k for k, v in other.flat().items() if v != recipe.flat()[k]} == {"lr", "classes", "root"}


@pytest.mark.parametrize("make", [Recipe.of, RECIPES["s0_teacher"].changed, RECIPES["s0_teacher"].schedule.changed])
def test_a_misspelt_setting_is_refused(make):
    with pytest.raises(RecipeError, match="unknown key 'minuets': did you mean minutes"):
        make(minuets=3.0)


def test_a_group_is_checked_by_itself_and_a_recipe_as_a_whole():
    recipe = RECIPES["s0_teacher"]
    with pytest.raises(RecipeError, match="early is from 0 to 1"):
        recipe.schedule.changed(early=2.0)
    with pytest.raises(RecipeError, match="sandwich is for a supernet"):
        recipe.changed(sandwich=1)
    assert recipe.changed(sandwich=1, mode="supernet").distillation.sandwich == 1


RECORDED = json.loads(
    (Path(__file__).parent / "identities.json").read_text()
)  # as checkpoints of flat recipes have them


@pytest.mark.parametrize("name", RECORDED["recipes"])
def test_checkpoints_written_before_recipes_had_groups_are_of_the_same_runs(name):
    saved = {**RECORDED["defaults"], **RECORDED["recipes"][name]}
    own = identity_of(RECIPES[name], "digest")
    assert {k: own[k] for k in saved} == saved and not differences(saved, own)
