"""Evolution on values, the archive, and a whole search and deployment on a tiny supernet."""

import dataclasses
import json
import random
import xml.etree.ElementTree as ET

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scalenet
from scalenet.archs.arch import Arch, SearchSpace
from scalenet.data.labels import DATASETS, Labels
from scalenet.models.checkpoint import digest_of, read_weights
from scalenet.models.factory import load_model
from scalenet.models.provenance import metadata_of
from scalenet.nn.network import ScaleNet
from search import evolution
from search.__main__ import main
from search.archive import Archive, ArchiveError, Record
from search.deploy import choose, deploy
from search.evaluator import Evaluator, EvaluatorPlan
from search.latency import Timing
from search.rank import compare, kendall_tau
from search.recipes import RECIPES as SEARCHES
from search.report import plot_front, table
from training.checks import TrainingError
from training.recipes import RECIPES

from ..conftest import status_of
from ..small_data import camvid_form
from ..small_training import SPACE, write_supernet


def record(score, macs, seed=0):
    return Record(SPACE.sample(random.Random(seed)), score, macs, 10, 0, 1.0)


def step_alone(recipe):
    """One step of training one architecture, on the data of ``recipe``."""
    return RECIPES["s0_standalone"].changed(
        root=recipe.data.root, space=SPACE, classes=3, steps=1, minutes=0.0, batch=2,
        size=(32, 32), early=0.0, init="", device="cpu",
    )  # fmt: skip


# -- evolution -------------------------------------------------------------------------------------------------
@given(st.integers(0, 10**6), st.sampled_from(["segmentation", "pose"]))
@settings(max_examples=40, deadline=None)
def test_children_are_new_values_inside_the_space(seed, task):
    space, rng = SearchSpace(task, 8, (64, 64)), random.Random(seed)
    a, b = space.sample(rng), space.sample(rng)
    before = (a.to_json(), b.to_json())
    child = evolution.mutate(evolution.crossover(a, b, rng, 0.5), space, rng, 0.2, 0.2)
    assert child in space and (a.to_json(), b.to_json()) == before
    for got, mine, theirs in zip(*(x.modules() for x in (evolution.crossover(a, b, rng, 0.5), a, b)), strict=True):
        assert got in (mine, theirs), "each module is one parent's, at its own place"
    assert evolution.crossover(a, b, rng, 0.0).digest == a.digest
    assert evolution.crossover(a, b, rng, 1.0).digest == b.digest


def test_a_child_has_about_the_asked_share_of_the_second_parent():
    rng, space = random.Random(0), SearchSpace("pose", 8, (64, 64))
    a, b = space.smallest(), space.largest()
    made = [evolution.crossover(a, b, rng, 0.25) for _ in range(100)]
    pairs = [(x, y) for child in made for x, y in zip(child.modules(), b.modules(), strict=True)]
    assert 0.2 < sum(x == y for x, y in pairs) / len(pairs) < 0.3


def test_mutation_changes_depths_and_bits_at_the_asked_rate():
    rng, space = random.Random(0), SearchSpace("segmentation", 8, (64, 64))
    arch = space.sample(rng)
    assert evolution.mutate(arch, space, rng, 0.0, 0.0) == arch
    bits = evolution.mutate(arch, space, rng, 0.2, 0.0)
    pairs = [
        (k in m.sources(j, d), k in n.sources(j, d))
        for (_, _, m), (_, _, n) in zip(arch.modules(), bits.modules(), strict=True)
        for j in range(len(m.depths)) for d in range(m.depths[j]) for k in range(len(m.depths)) if k != j
    ]  # fmt: skip
    assert 0.1 < sum(a != b for a, b in pairs) / len(pairs) < 0.3
    for rate in (0.1, 0.4, 1.0):
        others = [evolution.mutate(arch, space, rng, 0.0, rate) for _ in range(40)]
        depths = [
            (d, e)
            for other in others
            for (_, _, m), (_, _, n) in zip(arch.modules(), other.modules(), strict=True)
            for d, e in zip(m.depths, n.depths, strict=True)
        ]
        changed = sum(d != e for d, e in depths) / len(depths)
        assert changed == pytest.approx(0.75 * rate, abs=0.05), "one draw in four is the same depth again"
        assert {e for _, e in depths} == {2, 3, 4, 5}


def test_start_set_is_spread_and_free_of_twins():
    found = evolution.initial_population(SearchSpace("pose", 32, (256, 192)), random.Random(0), 60)
    assert len({a.digest for a in found}) == 60
    cells = {}
    for arch in found:
        modules = [m for _, _, m in arch.modules()]
        depths = {d for m in modules for d in m.depths}
        bits = sum(len(s) for m in modules for row in m.fusions for s in row)
        room = sum(d * (len(m.depths) - 1) for m in modules for d in m.depths)
        share = min(evolution.START_FUSIONS, key=lambda f: abs(f - bits / room))
        cells.setdefault((share, min(depths), max(depths)), []).append(arch)
    assert {(d, e) for _, d, e in cells} == {(2, 3), (3, 4), (4, 5)} and {f for f, _, _ in cells} == {
        0.2, 0.35, 0.5, 0.65, 0.8
    }  # fmt: skip
    assert all(2 <= len(members) <= 6 for members in cells.values()), "four of each of the fifteen groups, or nearly"
    few = evolution.initial_population(
        SearchSpace("segmentation", 8, (64, 64), modules=(1, 1, 1), depths=(1, 1)), random.Random(0), 9
    )
    assert 0 < len(few) <= 9


def test_fronts_peel_and_thin():
    records = [record(s, m) for s, m in [(0.5, 10), (0.6, 20), (0.55, 30), (0.7, 40), (0.4, 5)]]
    front = evolution.pareto_front(records)
    assert [(r.score, r.macs) for r in front] == [(0.4, 5), (0.5, 10), (0.6, 20), (0.7, 40)]
    assert len(evolution.select_parents(records, 5)) == 5 and records[2] in evolution.select_parents(records, 5)
    two = evolution.select_parents(records, 2)
    assert {r.macs for r in two} == {5, 40}, "a thinned front keeps its ends"


def test_a_front_of_three_objectives_keeps_what_is_best_in_any_of_them():
    rows = [(0.5, 10, 9), (0.5, 20, 5), (0.6, 20, 9), (0.5, 20, 9), (0.5, 10, 9)]
    records = [dataclasses.replace(record(score, macs), params=params) for score, macs, params in rows]
    front = evolution.pareto_front(records, ("macs", "params"))
    assert [id(r) for r in front] == [id(records[i]) for i in (0, 1, 2)], "of twins the first, and what none beats"
    assert evolution.pareto_front(records, ("params",)) == [records[1], records[2]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_nothing_on_a_front_is_beaten_and_all_else_is(rows):
    records = [dataclasses.replace(record(s, m), latency=float(t)) for s, m, t in rows]
    costs = ("macs", "latency")
    values = evolution.objectives(records, costs).tolist()
    front = evolution.objectives(evolution.pareto_front(records, costs), costs).tolist()

    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    assert sorted(front) == sorted(v for v in {*map(tuple, values)} for v in [list(v)] if not any(
        beats(other, v) for other in values
    ))  # fmt: skip


def test_nsga2_keeps_the_ends_and_what_has_room():
    records = [record(s, m) for s, m in [(0.1, 0), (0.5, 50), (0.52, 51), (0.54, 52), (0.9, 100), (0.3, 99)]]
    assert evolution.crowding(evolution.objectives(records[:5])).tolist() == pytest.approx(
        [float("inf"), 0.51 + 0.42 / 0.8, 0.02 + 0.04 / 0.8, 0.49 + 0.38 / 0.8, float("inf")]
    )
    kept = evolution.select_parents(records, 4, ranking="nsga2")
    assert [r.macs for r in kept] == [0, 100, 50, 52], "the best first"
    assert evolution.select_parents(records, 6, ranking="nsga2")[-1] is records[5], "of the second front"


def test_a_tournament_prefers_the_first_parents():
    rng, space = random.Random(0), SPACE
    parents = [space.smallest(), space.largest()]
    kept = {"cross": 0.0, "fusion": 0.0, "depth": 0.0}

    def share(tournament):
        found = []
        for _ in range(200):
            found += evolution.offspring(parents, space, rng, 1, lambda arch: False, **kept, tournament=tournament)
        return sum(a.digest == parents[0].digest for a in found) / 200

    assert 0.4 < share(False) < 0.6 and 0.65 < share(True) < 0.85


@pytest.mark.parametrize("text, words", [
    ("objectives=flops", "macs, params or latency"), ("objectives=macs,macs", "each once"), ("objectives=", "one or"),
    ("ranking=nsga3", "did you mean nsga2"), ("latency_dtype=int8", "float32"), ("latency_batch=0", "above 0"),
])  # fmt: skip
def test_what_a_search_cannot_look_for_is_one_line(text, words, capsys):
    assert main(["run", "s0", text]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_children_stop_when_the_space_is_used_up():
    space = SearchSpace("segmentation", 8, (64, 64), modules=(1, 1, 1), depths=(1, 1))
    parents = [space.largest()]
    assert list(evolution.offspring(parents, space, random.Random(0), 5, lambda arch: True)) == []


@pytest.mark.parametrize("task", ["segmentation", "pose"])
def test_the_papers_children_keep_the_last_module(task):
    space, rng = SearchSpace(task, 8, (64, 64)), random.Random(0)
    parents = [space.sample(rng) for _ in range(3)]
    lasts = {p.stages[-1][-1] for p in parents}
    made = list(evolution.offspring(parents, space, rng, 20, lambda arch: False, last=False))
    assert len(made) == 20 and all(c.stages[-1][-1] in lasts and c in space for c in made)
    free = evolution.offspring(parents, space, rng, 20, lambda arch: False)
    assert any(c.stages[-1][-1] not in lasts for c in free)


# -- archive ---------------------------------------------------------------------------------------------------
def test_archive_resumes_and_mends_a_cut_line(tmp_path):
    archive = Archive(tmp_path / "a.jsonl")
    first, second = record(0.5, 1, 1), record(0.6, 2, 2)
    archive.add(first)
    with archive.path.open("a") as f:
        f.write(second.to_json()[:40])
    before = archive.path.read_text()
    again = Archive(archive.path)
    assert list(again.records.values()) == [first]
    assert archive.path.read_text() == before, "reading leaves alone what a search may be writing"
    again.add(second)
    assert len(Archive(archive.path)) == 2


def test_a_foreign_file_is_no_archive(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ArchiveError, match="line 1"):
        Archive(tmp_path / "x.jsonl")


# -- the whole line --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("search")
    data = camvid_form(root / "data")
    weights = write_supernet(root / "supernet.safetensors")
    recipe = RECIPES["s0_supernet"].changed(root=str(data), classes=3, device="cpu")
    return root, weights, recipe


def test_scores_repeat_and_belong_to_their_arch(world):
    _, weights, recipe = world
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=4))
    first, other, again = (evaluator.score(a) for a in (SPACE.largest(), SPACE.smallest(), SPACE.largest()))
    assert first.score == again.score and first.macs > other.macs
    assert first.score != other.score


def test_deployed_files_hold_what_was_scored(world, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "three", Labels("three", ("a", "b", "c")))
    _, weights, recipe = world
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=4))
    best = evaluator.score(SPACE.sample(random.Random(4)))
    archive = Archive(tmp_path / "a.jsonl")
    archive.add(best)
    evaluator.outputs = 11
    metrics = deploy(evaluator, archive, choose([best], best.digest[:6]), "net", tmp_path, "three")
    with pytest.raises(ArchiveError, match="camvid has 11 names, the network 3 outputs"):
        deploy(evaluator, archive, best, "net", tmp_path, "camvid")
    arch = Arch.load(tmp_path / "net.json")
    state, meta = read_weights(tmp_path / "net.safetensors")
    assert arch.digest == best.digest == Arch.from_json(meta["arch"]).digest and arch.name == "net"
    static = ScaleNet(arch, num_classes=3).eval()
    static.load_state_dict(state)
    assert metrics["miou"] == pytest.approx(best.score, abs=0.02)
    assert state["conv1.weight"].dtype == torch.float16 and state["bn1.weight"].dtype == torch.float32
    assert evaluator.task.evaluate(static)["miou"] == pytest.approx(metrics["miou"], abs=1e-9)
    deployed = load_model(tmp_path / "net.safetensors")
    known = metadata_of(deployed)
    assert known.metrics[evaluator.task.validation]["val"]["miou"] == metrics["miou"]
    assert known.terms == "for all who test"
    assert (known.recipe, known.searched, known.space) == ("tiny", 1, None)
    assert (known.init, known.parent_sha256) == ("supernet.safetensors", digest_of(weights))
    assert known.batchnorm == "recalibrated on 4 training images" and known.usable
    folder = scalenet.save_pretrained(deployed, tmp_path / "folder")
    assert metadata_of(scalenet.create_model(f"local-dir:{folder}", pretrained=True)) == known


def test_deployed_metrics_are_those_of_the_weights_as_written(world, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "three", Labels("three", ("a", "b", "c")))
    _, weights, recipe = world
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=2))
    evaluator.model.conv1.weight.data.add_(1e-6)  # what fp16 cannot hold
    seen = []
    monkeypatch.setattr(evaluator.task, "evaluate", lambda net, size: seen.append(net.state_dict()) or {"miou": 0.5})
    deploy(evaluator, Archive(tmp_path / "a.jsonl"), record(0.5, 1), "net", tmp_path, "three")
    state, _ = read_weights(tmp_path / "net.safetensors")
    assert seen[0].keys() == state.keys() and all(torch.equal(seen[0][k].float(), state[k].float()) for k in state)


def test_deploy_and_rank_commands(world, tmp_path, capsys, monkeypatch):
    _, weights, recipe = world
    monkeypatch.setitem(RECIPES, "s0_supernet", recipe)
    monkeypatch.setitem(DATASETS, "camvid", Labels("three", ("a", "b", "c")))
    archive = Archive(tmp_path / "archive.jsonl")
    cheap, dear = (dataclasses.replace(record(s, m, m), params=10 * m) for s, m in ((0.5, 1), (0.9, 2)))
    archive.add(cheap)
    archive.add(dear)
    command = ["deploy", "s0", str(archive.path), f"supernet={weights}", "calibration=2", "--dataset", "camvid"]
    for name, limit, expected in (
        ("a", ["--max-params", "15"], cheap), ("b", [], dear), ("c", ["--max-macs", "1"], cheap),
        ("d", ["--digest", cheap.digest], cheap),
    ):  # fmt: skip
        assert main([*command, "--name", name, *limit, "--terms", "for tests", "-o", str(tmp_path / "out")]) == 0
        row = json.loads(capsys.readouterr().out)
        assert row["digest"] == expected.digest == Arch.load(tmp_path / "out" / f"{name}.json").digest
        assert read_weights(row["weights"])[1]["license"] == "for tests"
    assert main([*command, "--name", "e", "-o", str(tmp_path / "out")]) == 0
    inherited = read_weights(json.loads(capsys.readouterr().out)["weights"])[1]["license"]
    assert inherited == "for all who test"
    alone = step_alone(recipe)
    monkeypatch.setitem(RECIPES, "s0_standalone", alone)
    monkeypatch.setitem(SEARCHES, "s0", dataclasses.replace(SEARCHES["s0"], supernet=str(weights), calibration=2))
    assert main(["rank", "s0", "s0_standalone", "lr=1e-4", "--count", "3", "-o", str(tmp_path / "rank")]) == 0
    *rows, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert len({r["digest"] for r in rows}) == 3 == last["archs"] and -1 <= last["kendall_tau"] <= 1
    logs = [(tmp_path / "rank" / r["digest"] / "final.safetensors").is_file() for r in rows]
    assert all(logs)


def test_a_search_hands_on_every_setting_of_its_recipe(world, tmp_path, monkeypatch):
    _, weights, recipe = world
    monkeypatch.setitem(RECIPES, "s0_supernet", recipe)
    asked = {}

    def offspring(parents, space, rng, count, known, **settings):
        asked.update(settings, parents=len(parents), count=count)
        return iter(())

    monkeypatch.setattr("search.run.offspring", offspring)
    settings = [
        "ranking=nsga2",
        "objectives=params,macs",
        "cross=0.3",
        "fusion=0.4",
        "depth=0.5",
        "last=false",
        "population=2",
        "offspring=7",
    ]
    small = [
        f"supernet={weights}",
        f"out={tmp_path}",
        "initial_population=3",
        "calibration=2",
        "limit=1",
        "evaluations=9",
    ]
    assert main(["run", "s0", *small, *settings]) == 0
    assert asked == {
        "cross": 0.3, "fusion": 0.4, "depth": 0.5, "last": False, "parents": 2, "count": 6, "sizes": (),
        "tournament": True,
    }  # fmt: skip


def test_the_latency_is_measured_where_it_is_an_objective(world, tmp_path):
    _, weights, recipe = world
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1, timing=Timing(batch=2, seconds=0.0)))
    small, large = evaluator.score(SPACE.smallest()), evaluator.score(SPACE.largest())
    assert 0 < small.latency < large.latency and "batch 2, float32" in evaluator.identity["latency"]
    assert Record.from_json(large.to_json()) == large and "ms" in table([small, large], "miou", ("latency",))
    assert plot_front([small, large], tmp_path / "x.svg", "miou", costs=("latency", "macs")).is_file()


def test_choose_keeps_the_limits():
    cheap, dear = dataclasses.replace(record(0.5, 10), params=5), record(0.9, 100)
    assert choose([cheap, dear]) is dear
    assert choose([cheap, dear], max_params=7) is cheap and choose([cheap, dear], max_macs=50) is cheap
    with pytest.raises(ArchiveError):
        choose([cheap], max_macs=1)


def test_search_runs_resumes_and_reports(world, tmp_path, capsys, monkeypatch):
    _, weights, recipe = world
    monkeypatch.setitem(RECIPES, "s0_supernet", recipe)
    args = [
        f"supernet={weights}",
        f"out={tmp_path}",
        "initial_population=3",
        "population=3",
        "offspring=2",
        "calibration=2",
        "limit=1",
    ]
    assert main(["run", "s0", *args, "evaluations=2"]) == 0
    before = Archive(tmp_path / "archive.jsonl").records.keys()
    assert main(["run", "s0", *args, "evaluations=6"]) == 0
    archive = Archive(tmp_path / "archive.jsonl")
    assert len(archive) == 6 and list(archive.records)[:2] == list(before) and archive.last_generation >= 1
    assert ET.parse(tmp_path / "pareto.svg").getroot().tag.endswith("svg")
    assert "Pareto front" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "archive.jsonl"), "-o", str(tmp_path / "again.svg")]) == 0
    assert (tmp_path / "again.svg").read_text() == (tmp_path / "pareto.svg").read_text().replace("miou", "score")
    assert main(["report", str(tmp_path / "archive.jsonl"), "-o", str(tmp_path / "again.png")]) == 2


def test_single_architectures_are_scored_by_name_or_file(world, tmp_path, capsys, monkeypatch):
    _, weights, recipe = world
    monkeypatch.setitem(RECIPES, "s0_supernet", recipe)
    (tmp_path / "mine.json").write_text(SPACE.sample(random.Random(5)).to_json())
    settings = [f"supernet={weights}", "calibration=2", "limit=1"]
    assert main(["score", "s0", *settings, "--arch", "smallest", "largest", str(tmp_path / "mine.json")]) == 0
    small, large, mine = map(json.loads, capsys.readouterr().out.splitlines())
    assert small["arch"] == "smallest" and small["macs"] < mine["macs"] < large["macs"]
    assert all(0 <= row["miou"] <= 1 for row in (small, large, mine))
    assert main(["score", "s0", *settings, "--arch", "largst"]) == 2
    assert "no architecture 'largst': give largest" in capsys.readouterr().err
    assert main(["score", "s0", *settings, "--arch", "hrnet:1", "hrnet:2", "hrnet"]) == 0
    one, two, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["macs"] < two["macs"] == whole["macs"] and two["miou"] == whole["miou"], "2 is the depth of this space"
    assert main(["score", "s0", *settings, "--arch", "hrnet:3"]) == 2
    assert "hrnet:3 is outside the space, whose branches are 1 to 2 blocks deep" in capsys.readouterr().err


def test_rank_compares_with_training_alone_and_resumes(world, tmp_path, monkeypatch):
    _, weights, recipe = world
    alone = step_alone(recipe)
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1))
    rows = compare(evaluator, alone, 3, tmp_path)
    assert len({r["digest"] for r in rows}) == 3 and all(0 <= r["alone"] <= 1 for r in rows)
    nothing_left_to_train = alone.changed(root="/nowhere")
    assert compare(evaluator, nothing_left_to_train, 3, tmp_path) == rows
    monkeypatch.setattr(evaluator, "score", lambda arch: record(0.25, 7))  # another supernet
    again = compare(evaluator, nothing_left_to_train, 3, tmp_path)
    assert [r["alone"] for r in again] == [r["alone"] for r in rows] and {r["inherited"] for r in again} == {0.25}
    older = [json.loads(line) for line in (tmp_path / "rank.jsonl").read_text().splitlines()]
    for row in older:
        del row["budget"]["flip_pairs"]  # written before there was such a field
    (tmp_path / "rank.jsonl").write_text("".join(json.dumps(row) + "\n" for row in older))
    assert compare(evaluator, nothing_left_to_train, 3, tmp_path) == again
    with pytest.raises(TrainingError, match=r"another budget .flip_pairs"):
        compare(evaluator, alone.changed(flip_pairs=1.0), 3, tmp_path)
    with pytest.raises(TrainingError, match=r"another budget .minutes"):
        compare(evaluator, alone.changed(minutes=9.0), 3, tmp_path)
    assert -1 <= kendall_tau([{"inherited": i, "alone": i * i} for i in range(4)]) == 1


@pytest.mark.parametrize("argv", [
    ["run", "s1"], ["report", "/nowhere.jsonl"], ["run", "s0", "supernet=/nowhere.st"],
    ["deploy", "s0", "a.jsonl", "--name", "n", "--dataset", "nonsense"],
    ["rank", "s0", "s0_standalone", "--count", "0"],
])  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(argv, capsys):
    assert status_of(main, argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_archive_that_is_no_text(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\x00")
    assert main(["report", str(tmp_path / "a.jsonl")]) == 2
    assert "no search archive" in capsys.readouterr().err
