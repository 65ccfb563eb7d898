"""Fine-tuning on a folder of one's own: weights, a card, metrics; another run in the same folder is refused."""

import json
import shutil

import pytest
import torch

import scalenet
from scalenet.data.labels import Labels
from scalenet.models.checkpoint import digest_of, read_weights
from scalenet.models.factory import load_model
from scalenet.models.pretrained import TABLE
from scalenet.models.provenance import metadata_of
from training.__main__ import main
from training.data import DataError
from training.finetune import read_classes

from ..small_data import camvid_form
from ..small_networks import small_network, write


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    root = camvid_form(tmp_path_factory.mktemp("own") / "street")
    (root / "classes.txt").write_text("dark\nmiddle\nbright\n")
    return root


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return write(small_network(), tmp_path_factory.mktemp("start") / "net.safetensors")


def tune(start, data, out, *more, steps=1):
    budget = [f"steps={steps}", "minutes=0", "batch=2", "size=48x48", "early_size=48x48", "device=cpu"]
    return main(["finetune", "--model", str(start), "--data", str(data), "-o", str(out), *more, *budget])


def test_it_ends_with_weights_a_card_and_metrics(own, start, tmp_path, capsys):
    assert tune(start, own, tmp_path / "out") == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    model = load_model(metrics["weights"])
    assert model.labels.names == ("dark", "middle", "bright") and model.labels.dataset == "street"
    assert read_weights(metrics["weights"])[1]["license"].startswith("those of the images of street")
    card = (tmp_path / "out" / "model" / "README.md").read_text()
    assert "### Measured" in card and f"{metrics['miou']:.4f}"[:5] in card and "images of street" in card
    again = scalenet.create_model(f"local-dir:{metrics['folder']}", pretrained=True)
    assert again.num_classes == 3
    known = metadata_of(model)
    assert metadata_of(again) == known and known.metrics["street"]["val"]["miou"] == metrics["miou"]
    assert known.datasets == ("street", "camvid") and (known.recipe, known.steps) == ("finetune", 1)
    assert (known.init, known.parent_sha256) == (str(start), digest_of(start))


def test_the_terms_of_the_weights_it_began_from_stay(own, tmp_path, capsys):
    assert tune("scalenet_s0", own, tmp_path / "out") == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "after Tiny-ImageNet; both data sets" in read_weights(metrics["weights"])[1]["license"]
    assert "after Tiny-ImageNet; both data sets" in (tmp_path / "out" / "model" / "README.md").read_text()
    (entry,) = [e for e in TABLE if f"{e.name}.{e.tag}" == "scalenet_s0.camvid"]
    assert load_model(metrics["weights"]).checkpoint_metadata[0].parent_sha256 == entry.sha256


def test_class_lists_with_and_without_colours(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("road 128 64 128\n\nold tree 0 128 0\nlevel 3 9 8 7\n")
    labels = read_classes(tmp_path)
    assert labels.names == ("road", "old tree", "level 3") and labels.dataset == tmp_path.name
    assert labels.colours == ((128, 64, 128), (0, 128, 0), (9, 8, 7))
    path.write_text("road\nlevel 3\nexit 300 1 2\n")
    plain = read_classes(tmp_path)
    assert plain.names == ("road", "level 3", "exit 300 1 2") and len(set(plain.colours)) in (0, 3)
    for text, words in (("road 1 2 3\ntree\n", "line 2: give every class a colour"), ("road\n", "2 to 254"),
                        ("road\ntree\nroad\n", "different classes"), ("", "2 to 254")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_classes(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="no class list"):
        read_classes(tmp_path)


@pytest.mark.parametrize("other", ["scratch", "data"])
def test_another_run_does_not_go_on_from_this_ones_checkpoint(own, start, other, tmp_path, capsys):
    assert tune(start, own, tmp_path / "out") == 0
    data, more = own, ["--scratch"]
    if other == "data":
        data, more = shutil.copytree(own, tmp_path / "else"), []
    assert tune(start, data, tmp_path / "out", *more) == 2
    err = capsys.readouterr().err
    assert "belongs to another run" in err and "another folder" in err
    assert tune(start, data, tmp_path / "fresh", *more) == 0


def test_class_lists_of_other_editors(tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufeffroad\nwall\n".encode())
    assert read_classes(tmp_path).names == ("road", "wall")
    (tmp_path / "classes.txt").write_bytes("stra\xdfe\nwall\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_classes(tmp_path)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A network that knows the folder's classes already."""
    return write(
        small_network(labels=Labels("street", ("dark", "middle", "bright"))),
        tmp_path_factory.mktemp("k") / "k.safetensors",
    )


@pytest.mark.parametrize("ruinous", [True, False])
def test_what_is_worse_than_the_start_is_not_kept(own, known, tmp_path, capsys, monkeypatch, recwarn, ruinous):
    scored(monkeypatch, 0.5, 0.2 if ruinous else 0.7)
    assert tune(known, own, tmp_path / "out") == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    state, before = read_weights(metrics["weights"])[0], read_weights(known)[0]
    same = all((state[k].float() == v.float()).all() for k, v in before.items())
    assert metrics["start_metrics"]["miou"] == 0.5 and same is ruinous
    assert (metrics["kept"], metrics["miou"]) == (("start", 0.5) if ruinous else ("tuned", 0.7))
    assert not metrics["ended_early"] and metrics["steps"] == (0 if ruinous else 1)
    assert (tmp_path / "out" / "tuned.safetensors").is_file() is ruinous
    assert any("are kept" in str(w.message) for w in recwarn) is ruinous
    assert load_model(metrics["weights"]).labels.dataset == "street"


def scored(monkeypatch, *scores):
    from training.tasks.segmentation import SegmentationTask

    left = iter(scores)
    monkeypatch.setattr(
        SegmentationTask, "evaluate", lambda self, *args, **more: {"miou": next(left), "pixel_accuracy": 0.9}
    )
    return left


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_that_only_gets_worse_ends_early_with_what_it_began_with(own, known, tmp_path, capsys, monkeypatch):
    left = scored(monkeypatch, 0.5, 0.4, 0.3, 0.2, 0.2, 0.4)  # start, three on the way, the last, the best of them
    assert tune(known, own, tmp_path / "out", steps=8) == 0
    out, err = capsys.readouterr()
    metrics = json.loads(out.splitlines()[-1])
    assert (metrics["kept"], metrics["miou"], metrics["ended_early"]) == ("start", 0.5, True) and not list(left)
    assert [r["step"] for r in log_of(tmp_path / "out") if "validation" in r] == [1, 2, 3]
    assert "3 scores in a row" in log_of(tmp_path / "out")[-2]["ended"]
    assert "100%" in err.replace("100.0", "100")


def test_the_best_weights_of_a_run_are_what_it_gives(own, known, tmp_path, capsys, monkeypatch):
    left = scored(monkeypatch, 0.5, 0.6, 0.4, 0.3, 0.2, 0.2, 0.6)
    assert tune(known, own, tmp_path / "out", steps=8) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (metrics["kept"], metrics["miou"], metrics["steps"]) == ("tuned", 0.6, 1) and not list(left)
    best = torch.load(tmp_path / "out" / "checkpoint.best.pt", weights_only=True)
    state = read_weights(metrics["weights"])[0]
    assert best["step"] == 1 and all(torch.equal(state[k].float(), v.float()) for k, v in best["model"].items())
    left = scored(monkeypatch, 0.5, 0.2, 0.6)  # the same command again: nothing is left to do
    assert tune(known, own, tmp_path / "out", steps=8) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 1 and not list(left)


def test_a_run_goes_on_while_it_gets_better_or_is_told_to(own, known, tmp_path, capsys, monkeypatch):
    scored(monkeypatch, 0.5, *[0.5 + n / 100 for n in range(1, 9)])
    assert tune(known, own, tmp_path / "better", steps=8) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 8
    scored(monkeypatch, 0.9, *[0.5 - n / 100 for n in range(1, 9)])
    assert tune(known, own, tmp_path / "told", "patience=0", steps=8) == 0
    assert not json.loads(capsys.readouterr().out.splitlines()[-1])["ended_early"]
    assert log_of(tmp_path / "told")[-1]["step"] == 8


def test_other_classes_have_no_score_before(own, start, tmp_path, capsys):
    assert tune(start, own, tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["start_metrics"] is None and "100%" in err.replace(" ", "").replace(
        "100.0", "100"
    )


def test_few_minutes_are_enough_steps_and_warmed(own, start):
    from pathlib import Path

    from training.budget import Clock
    from training.finetune import make_recipe

    def recipe(*texts):
        return make_recipe(load_model(start), own, Path("out"), 3, False, list(texts))

    assert recipe("steps=50", "minutes=0").schedule.warmup == 5 and recipe("minutes=3").schedule.warmup == 20
    assert recipe("steps=50", "warmup=7").schedule.warmup == 7
    clock = Clock(recipe("minutes=0.001"))
    clock.step, clock.before = 4, 100.0

    class Timer:
        def mean(self, sizes):
            return 25.0

    clock.plan(Timer())
    assert clock.total == 60
