"""Evolution against random search on a surrogate: it learns, says how well, and both ways spend the same."""

import random
from dataclasses import replace

import numpy as np
import pytest

from search.against_random import _main, features, searched, surrogate
from search.archive import Archive, ArchiveError, Record
from search.recipes import RECIPES

from ..small_training import SPACE


def depth(arch) -> float:
    return float(features(arch)[:4].sum()) / 10


def records(count):
    archs = [SPACE.sample(random.Random(seed)) for seed in range(count)]
    return [Record(a, depth(a), 1, 1, 0, 1.0) for a in archs]


def test_features_span_the_space():
    low, high = features(SPACE.smallest()), features(SPACE.largest())
    assert low.shape == (8,) and (low[:4] == 1).all() and (high[:4] == 2).all() and (high[4:] == 1).all()


def test_a_surrogate_tells_what_the_records_tell():
    score, correlation = surrogate(records(40))
    assert correlation > 0.9
    assert score(SPACE.largest()) > score(SPACE.smallest())
    with pytest.raises(ArchiveError, match="at least 10 records, the archive has 4"):
        surrogate(records(4))


@pytest.mark.parametrize("start", [6, 24])
def test_a_search_spends_its_evaluations_and_writes_nothing(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = replace(RECIPES["s0"], evaluations=24, initial_population=start, population=6, offspring=6)
    found = searched(recipe, SPACE, 3, depth)
    assert len({r.key for r in found}) == 24 and not any(tmp_path.iterdir())
    assert max(r.generation for r in found) == (24 - start) // 6
    assert [r.key for r in searched(recipe, SPACE, 3, depth)] == [r.key for r in found]


def test_the_command_prints_both(tmp_path, capsys):
    archive = Archive(tmp_path / "archive.jsonl")
    for record in records(12):
        archive.add(record)
    _main([str(archive.path), "--evaluations", "8", "--seeds", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["surrogate:", "evolution", "random"]
    assert all(0 < float(line.split()[2]) < 1 and np.isfinite(float(line.split()[4])) for line in lines[1:])
    with pytest.raises(SystemExit):
        _main([str(tmp_path / "none.jsonl")])
    assert "no archive" in capsys.readouterr().err
