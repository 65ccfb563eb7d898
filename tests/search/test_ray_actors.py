"""A search by Ray's actors: the records of one process, whatever dies; what cannot be is one line."""

import dataclasses
import random
import socket
from pathlib import Path

import pytest
import torch

from search.__main__ import main
from search.archive import Archive
from search.evaluator import Evaluator, EvaluatorPlan
from search.executors import Processes
from search.latency import Timing
from search.ray_actors import Pool, RayActors
from training.checks import RecipeError, TrainingError
from training.recipes import RECIPES

from ..small_data import camvid_form
from ..small_ray import two_cores
from ..small_training import SPACE, write_supernet


@pytest.fixture(scope="module")
def ray():
    with two_cores() as ray:
        yield ray


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    root = tmp_path_factory.mktemp("ray")
    recipe = RECIPES["s0_supernet"].changed(root=str(camvid_form(root / "data")), classes=3, device="cpu")
    return EvaluatorPlan(write_supernet(root / "supernet.safetensors", 1.0), recipe, calibration=2, limit=1)


@pytest.fixture
def evaluator(plan):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # an actor's
    yield Evaluator(plan)
    torch.set_num_threads(threads)


def go_on():
    return False


def values(records):
    return {r.key: dataclasses.replace(r, seconds=0.0) for r in records}


ARCHS = [SPACE.smallest(), SPACE.largest(), *(SPACE.sample(random.Random(seed)) for seed in range(3))]


def test_the_records_are_those_of_one_process_though_actors_die(ray, evaluator):
    alone = values(Processes(evaluator, go_on).map(ARCHS, 3))
    with RayActors(evaluator, go_on, Pool()) as executor:
        assert len(executor.actors) == 2, "one a core"
        first, *others = before = list(executor.actors)
        found = executor.map(ARCHS, 3)
        records = [next(found)]
        ray.kill(first)
        for actor in others:
            ray.kill(actor)
        records += found
        assert len(executor.actors) == 2 and not {*executor.actors} & {*before}
    assert len(records) == len(ARCHS) and values(records) == alone
    assert len({r.score for r in records}) > 1 and {r.generation for r in records} == {3}
    assert ray.is_initialized(), "it was not started by the executor"


def test_what_kills_every_actor_ends_the_search(ray, evaluator, monkeypatch):
    monkeypatch.setattr("search.ray_actors.MOST_DEATHS", 2)
    evaluator.plan = dataclasses.replace(evaluator.plan, recipe=evaluator.plan.recipe.changed(root="/no"))
    with RayActors(evaluator, go_on, Pool(actors=1)) as executor, pytest.raises(TrainingError) as error:
        list(executor.map(ARCHS[:1], 0))
    assert "2 actors died" in str(error.value) and "/no" in str(error.value) and "\n" not in str(error.value)


def test_a_fault_is_told_as_if_it_were_here_and_an_asked_end_leaves_what_is_not_begun(ray, evaluator):
    foreign = dataclasses.replace(SPACE, width=16).smallest()
    scored = []
    with RayActors(evaluator, lambda: bool(scored), Pool(actors=1)) as executor:
        with pytest.raises(ValueError, match="width"):
            list(executor.map([foreign], 0))
        for record in executor.map(ARCHS, 0):
            scored.append(record)
    assert len(scored) == 1


def test_the_command_searches_and_resumes(ray, plan, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "s0_supernet", plan.recipe)
    command = ["run", "s0", f"supernet={plan.supernet}", f"out={tmp_path}", "initial_population=3", "population=3"]
    command += ["offspring=2", "calibration=2", "limit=1"]
    for evaluations in (2, 4):
        assert main([*command, f"evaluations={evaluations}", "--executor", "ray", "--actors", "1"]) == 0
    assert len(Archive(Path(tmp_path) / "archive.jsonl")) == 4 and (tmp_path / "report.html").is_file()


def test_too_many_actors_and_latency_are_refused(ray, evaluator):
    with pytest.raises(RecipeError, match="2 cores and 0 GPUs, room for 2 actors"):
        RayActors(evaluator, go_on, Pool(actors=3)).__enter__()
    with pytest.raises(RecipeError, match="room for 0 actors of 1 and 1"):
        RayActors(evaluator, go_on, Pool(gpus=1)).__enter__()
    evaluator.plan = dataclasses.replace(evaluator.plan, timing=Timing())
    with pytest.raises(RecipeError, match="latency"):
        RayActors(evaluator, go_on, Pool())


def test_an_address_that_nobody_listens_at_is_one_line(plan, tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setitem(RECIPES, "s0_supernet", plan.recipe)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["run", "s0", f"supernet={plan.supernet}", f"out={tmp_path}", "--executor", "ray", "--address"]
    for address, words in ((f"127.0.0.1:{port}", "no Ray cluster answers"), ("somewhere", "HOST:PORT")):
        assert main([*command, address]) == 2
        err = capsys.readouterr().err
        assert words in err and address in err and err.count("\n") == 1


def test_options_of_ray_need_it(capsys):
    assert main(["run", "s0", "--actors", "2"]) == 2 and "--executor ray" in capsys.readouterr().err
    assert main(["run", "s0", "--executor", "ray", "--num-gpus", "1.5"]) == 2 and "GPUs" in capsys.readouterr().err
