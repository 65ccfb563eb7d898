"""A front built from an archive: measured from the file, resumed, checked; deploying within limits."""

import dataclasses
import json
import random

import pytest
import torch

import search.front
from scalenet.archs.arch import Arch
from scalenet.data.labels import DATASETS, Labels
from scalenet.engines.front import Front
from scalenet.models.checkpoint import read_weights, save_weights
from scalenet.models.factory import load_model
from scalenet.nn.network import ScaleNet
from search.__main__ import main
from search.archive import Archive, ArchiveError, Record
from search.deploy import choose
from search.evaluator import Evaluator, EvaluatorPlan
from search.evolution import pareto_front
from search.front import build, candidates, check_front, rising
from training.recipes import RECIPES

from ..conftest import status_of
from ..small_data import camvid_form
from ..small_training import SPACE, write_supernet

SIZES = ((32, 40), (64, 80))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A supernet whose scores differ, its recipe, and an archive of three."""
    root = tmp_path_factory.mktemp("front")
    data = camvid_form(root / "data")
    weights = write_supernet(root / "supernet.safetensors", spread=1.0)
    recipe = RECIPES["s0_supernet"].changed(root=str(data), classes=3, device="cpu")
    archive = Archive(root / "archive.jsonl")
    for score, arch in ((0.1, SPACE.smallest()), (0.2, SPACE.hrnet()), (0.3, SPACE.largest())):
        archive.add(Record(arch, score, ScaleNet(arch, num_classes=3, device="meta").cost().macs, 10, 0, 1.0))
    return weights, recipe, archive


def test_candidates_are_spread_over_structures_and_sizes(world):
    archs = candidates(world[2], SPACE, SIZES, 4)
    assert [a.input_size for a in archs] == [SIZES[0]] * 2 + [SIZES[1]] * 2
    assert {a.digest for a in archs} == {SPACE.smallest().digest, SPACE.largest().digest}
    assert len(candidates(world[2], SPACE, (), 99)) == 3, "no structure twice at one size"


def test_where_the_best_are_too_few_the_next_best_follow(world, tmp_path):
    archive = Archive(tmp_path / "archive.jsonl")
    worse = [SPACE.sample(random.Random(seed)) for seed in range(4)]
    for arch in [*worse, SPACE.hrnet()]:
        macs = ScaleNet(arch, num_classes=3, device="meta").cost().macs
        archive.add(Record(arch, 0.9 if arch == SPACE.hrnet() else 0.1 - macs / 1e12, macs, 10, 0, 1.0))
    best = {a.digest for a in candidates(archive, SPACE, SIZES[:1], 2)}
    front = {r.digest for r in pareto_front(list(archive.records.values()))}
    assert best <= front | {SPACE.smallest().digest} and len(front) < 5
    every = candidates(archive, SPACE, SIZES, 12)
    assert {a.digest for a in every} == {SPACE.smallest().digest, *(r.digest for r in archive.records.values())}
    assert len(every) == 12 and len(candidates(archive, SPACE, SIZES, 999)) == 12


@dataclasses.dataclass
class Scored:
    """As little of a member as selection looks at."""

    arch: str
    macs: int
    score: float
    name: str = ""


def test_scores_rise_and_what_must_stay_stays(capsys):
    members = [Scored("a", 1, 0.1), Scored("b", 2, 0.5), Scored("d", 3, 0.4), Scored("c", 3, 0.4), Scored("e", 4, 0.6)]
    assert [m.arch for m in rising(members)] == ["a", "b", "e"]
    assert [m.arch for m in rising(members, "c")] == ["a", "c", "e"]
    assert capsys.readouterr().err.count("left out for") == 1, "the best of those"
    assert [m.arch for m in rising(members, "e")] == ["a", "b", "e"] and not capsys.readouterr().err
    with pytest.raises(ArchiveError, match="the default network could not be measured"):
        rising(members, "z")


def test_the_default_network_is_a_member_as_it_is(world, tmp_path, capsys):
    weights, recipe, archive = world
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1))
    network = evaluator.static(SPACE.hrnet().replace(input_size=SIZES[1]))
    network.bn1.running_mean += 0.01  # nobody else's statistics
    header = dataclasses.replace(evaluator.derived(network, None, 1), space=None).header()
    shipped = save_weights(tmp_path / "shipped.safetensors", network.state_dict(), header, half=True)
    out = tmp_path / "toys.front.safetensors"
    front = build(evaluator, archive, out, 4, SIZES, shipped)
    assert [m.score for m in front.members] == sorted({m.score for m in front.members})
    (member,) = (m for m in front.members if m.arch.digest == network.arch.digest and m.arch.input_size == SIZES[1])
    ours, theirs = front.extract(member).state_dict(), load_model(shipped).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours if not k.endswith("num_batches_tracked"))
    assert "that of shipped.safetensors as it was shipped" in front.metadata.batchnorm
    network.bn1.weight.data += 0.5
    other = save_weights(tmp_path / "other.safetensors", network.state_dict(), header, half=True)
    with pytest.raises(ArchiveError, match=r"has other weights than .*supernet.safetensors \(bn1.weight\)"):
        build(evaluator, archive, tmp_path / "no.safetensors", 4, SIZES, other)


def test_a_front_says_what_its_members_score_as_written(world, tmp_path, monkeypatch):
    weights, recipe, archive = world
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1))
    front = build(evaluator, archive, tmp_path / "toys.front.safetensors", 6, SIZES)
    assert [p.name for p in tmp_path.iterdir()] == ["toys.front.safetensors"]
    assert [m.score for m in front.members] == sorted({m.score for m in front.members}), "each better than all cheaper"
    assert 1 <= len(front) <= 6 and {m.arch.input_size for m in front.members} <= set(SIZES)
    for _, said, now in check_front(
        Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1)), Front(front.path)
    ):
        assert said == pytest.approx(now, abs=1e-9)
    member = front.members[0]
    fresh = evaluator.static(member.arch.replace(input_size=member.arch.input_size)).state_dict()
    got = front.extract(member).state_dict()
    assert all(torch.equal(fresh[k], got[k]) for k in got if "running" in k), "statistics of its own size and structure"
    assert (front.metadata.searched, front.metadata.terms) == (3, "for all who test")
    assert "the first 1 images of val" in front.metadata.protocol


def test_a_stopped_build_goes_on(world, tmp_path, monkeypatch):
    weights, recipe, archive = world
    evaluator, out = (
        Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1)),
        tmp_path / "toys.front.safetensors",
    )
    measured, real = [], search.front._measured

    def stopping(evaluator, metadata, arch, run_at):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(arch)
        return real(evaluator, metadata, arch, run_at)

    monkeypatch.setattr(search.front, "_measured", stopping)
    with pytest.raises(KeyboardInterrupt):
        build(evaluator, archive, out, 4, SIZES)
    assert not out.exists() and (tmp_path / "toys.front.partial.safetensors").is_file()
    with pytest.raises(ArchiveError, match="another supernet, archive or settings"):
        build(Evaluator(EvaluatorPlan(weights, recipe, calibration=1, limit=1)), archive, out, 4, SIZES)
    monkeypatch.setattr(search.front, "_measured", lambda *a: measured.append(a[2]) or real(*a))
    build(evaluator, archive, out, 4, SIZES)
    assert len(measured) == 4 == len({(a.digest, a.input_size) for a in measured}) and out.is_file()


def test_the_commands(world, tmp_path, capsys, monkeypatch):
    weights, recipe, archive = world
    monkeypatch.setitem(RECIPES, "s0_supernet", recipe)
    monkeypatch.setitem(DATASETS, "camvid", Labels("three", ("a", "b", "c")))
    out = str(tmp_path / "toys.front.safetensors")
    command = ["front", "s0", str(archive.path), f"supernet={weights}", "calibration=2", "limit=1", "sizes=64x80,32x40"]
    assert main([*command, "-o", out, "--members", "4"]) == 0
    printed = capsys.readouterr().out
    assert Front(out).table() in printed and out in printed
    assert main([*command, "-o", out, "--check"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(Front(out)) and all(row["same"] for row in rows)
    assert main([*command, "-o", str(tmp_path / "none.safetensors"), "--check"]) == 2
    monkeypatch.setattr("search.deploy.network_ms", lambda model, *_, **__: model.cost().macs / 1e6)
    dear = max(archive.records.values(), key=lambda r: r.macs)
    for limits, digest in (
        (["--max-macs", "9T"], dear.digest), (["--max-latency", f"{dear.macs / 1e6 - 0.01}ms"], SPACE.hrnet().digest),
    ):  # fmt: skip
        argv = ["deploy", "s0", str(archive.path), f"supernet={weights}", "calibration=2", "--dataset", "camvid"]
        capsys.readouterr()
        assert main([*argv, "--name", "n", *limits, "-o", str(tmp_path / "d")]) == 0
        assert json.loads(capsys.readouterr().out)["digest"] == digest == Arch.load(tmp_path / "d" / "n.json").digest
    assert main([*argv, "--name", "m", "--max-latency", "0.001ms", "-o", str(tmp_path / "d")]) == 2
    assert "the smallest needs" in capsys.readouterr().err
    assert status_of(main, [*argv, "--name", "m", "--max-macs", "few"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "d" / "m.json").exists()


def test_plain_networks_are_scored_beside_the_front(world, tmp_path, capsys, monkeypatch):
    weights, recipe, archive = world
    monkeypatch.setitem(RECIPES, "s0_supernet", recipe)
    evaluator = Evaluator(EvaluatorPlan(weights, recipe, calibration=2, limit=1))
    front = build(evaluator, archive, tmp_path / "toys.front.safetensors", 6, SIZES)
    command = ["score", "s0", f"supernet={weights}", "calibration=2", "limit=1", "sizes=64x80,32x40"]
    out, page = str(tmp_path / "compare.jsonl"), str(tmp_path / "compare.html")
    assert main([*command, "--arch", "hrnet", "hrnet:1", "--against", str(front.path), "-o", out]) == 0
    *rows, said = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(r["arch"], r["input_size"]) for r in rows] == [
        ("hrnet", [64, 80]), ("hrnet", [32, 40]), ("hrnet:1", [64, 80]), ("hrnet:1", [32, 40])
    ]  # fmt: skip
    beside = [row for row in rows if row["member"]]
    for row in beside:
        member = front[row["member"]]
        assert member == front.pick(max_macs=row["macs"]) and member.macs == row["member_macs"] <= row["macs"]
        assert row["member_score"] == pytest.approx(evaluator.score(member.arch).score, abs=1e-4)
        assert row["gain"] == pytest.approx(row["member_score"] - row["miou"], abs=2e-4)
    assert beside and said["compared"] == len(beside) and said["least_gain"] == min(r["gain"] for r in beside)
    assert said["front_above"] == sum(r["gain"] > 0 for r in beside)
    kept = Archive(out)
    assert len(kept) == len({*(r["member"] for r in beside), *((r["arch"], *r["input_size"]) for r in rows)})
    assert main(["report", out, "-o", page, "--metric", "miou"]) == 0
    text = (tmp_path / "compare.html").read_text()
    assert "At equal multiply-adds" in text and "uniformly scaled" in text and text.count("scaled to depth 1") == 2
    other = save_weights(tmp_path / "o.safetensors", evaluator.model.state_dict(), read_weights(weights)[1])
    capsys.readouterr()
    assert main(["score", "s0", f"supernet={other}", *command[3:], "--against", str(front.path)]) == 2
    assert "is of another supernet than" in capsys.readouterr().err


def test_time_chooses_among_the_best():
    archs = [SPACE.smallest(), SPACE.hrnet(), SPACE.largest()]
    records = [Record(a, s, m, 1, 0, 1.0) for a, s, m in zip(archs, (0.1, 0.3, 0.2), (1, 2, 3), strict=True)]
    assert choose(records, max_latency=2.5, ms=lambda r: r.macs) is records[1]
    assert choose(records, max_latency=1.0, ms=lambda r: r.macs) is records[0]
    assert choose(records, max_macs=2, max_latency=9.0, ms=lambda r: r.macs) is records[1]


def test_the_labels_are_kept(world, tmp_path):
    weights, recipe, archive = world
    state, header = read_weights(weights)
    labels = Labels("toys", ("a", "b", "c"))
    named = save_weights(tmp_path / "n.safetensors", state, header | {"labels": json.dumps(labels.to_dict())})
    front = build(
        Evaluator(EvaluatorPlan(named, recipe, calibration=1, limit=1)), archive, tmp_path / "f.safetensors", 1
    )
    assert front.extract().labels == labels
