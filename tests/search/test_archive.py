"""An archive keeps what was scored, whoever is killed when, and only what can be compared."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scalenet.archs.arch import Arch
from search.__main__ import main
from search.archive import Archive, ArchiveError, Record
from search.recipes import RECIPES
from search.run import search

from ..small_training import SPACE

TINY = dataclasses.replace(RECIPES["s0"], initial_population=3, population=2, offspring=3, evaluations=8)


class Killed(Exception):
    """The end of a process, as far as its file goes."""


class Scorer:
    """Scores by the architecture alone; ``at`` is called with the number of what is scored."""

    space, metric = SPACE, "miou"

    def __init__(self, at=lambda number: None, limit=0):
        self.at, self.count = at, 0
        self.identity = {"supernet": "abc", "data": "camvid", "limit": limit}

    def score(self, arch: Arch, generation: int = 0, seed: int = 0) -> Record:
        self.at(self.count)
        self.count += 1
        rng = random.Random(arch.digest)
        return Record(arch, rng.random(), rng.randrange(1, 9), 10, generation, 1.0)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a tiny search in a folder with a scorer; returns its records, the time they took apart."""

    def run(name, scorer=None, **changes):
        monkeypatch.setattr("search.run.make_evaluator", lambda recipe, join=True: scorer or Scorer())
        monkeypatch.setattr("search.run.plot_front", lambda *args: None)
        folder = search(dataclasses.replace(TINY, out=str(tmp_path / name), **changes))
        return {(r.key, r.score, r.generation) for r in Archive(folder / "archive.jsonl").records.values()}

    return run


def test_a_search_killed_at_any_record_finds_what_the_unbroken_one_finds(run, tmp_path):
    whole = run("whole")
    assert len(whole) == 8 and {g for _, _, g in whole} == {0, 1, 2}
    for count in range(8):

        def die(number, count=count):
            if number == count:
                raise Killed

        with pytest.raises(Killed):
            run(f"killed{count}", Scorer(die))
        archive = tmp_path / f"killed{count}" / "archive.jsonl"
        assert len(Archive(archive)) == count
        with archive.open("a") as f:
            f.write('{"digest": "6')
        scorer = Scorer()
        assert run(f"killed{count}", scorer) == whole and scorer.count == 8 - count


def test_more_evaluations_go_on_in_the_generation_that_was_cut_short(run):
    whole = run("whole", evaluations=11)
    for part in (2, 4, 7):
        assert run(f"part{part}", evaluations=part) < whole
        assert run(f"part{part}", evaluations=11) == whole


def test_sigterm_ends_a_search_in_order(run, tmp_path, capsys):
    def ask(number):
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert len(run("asked", Scorer(ask))) == 5 and signal.getsignal(signal.SIGTERM) is before
    assert "5 evaluated" in (tmp_path / "asked" / "pareto.txt").read_text()
    assert "stopped; the same command goes on" in capsys.readouterr().err
    assert run("asked") == run("whole")


def test_scores_of_other_settings_are_refused_by_name(run, tmp_path):
    run("a", evaluations=2)
    with pytest.raises(ArchiveError, match="is of limit=0, not 5"):
        run("a", Scorer(limit=5))
    with pytest.raises(ArchiveError, match="is of seed=0, not 1"):
        run("a", seed=1)
    path = tmp_path / "a" / "archive.jsonl"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if "identity" not in line))
    assert len(Archive(path)) == 2 and not Archive(path).identity, "of an earlier version"
    run("a", Scorer(limit=5))
    assert Archive(path).identity["limit"] == 5


def test_one_writer_at_a_time(run, tmp_path):
    path = tmp_path / "a" / "archive.jsonl"
    with Archive(path).alone():
        code = "import sys; from search.archive import Archive\nwith Archive(sys.argv[1]).alone(): pass"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        other = subprocess.run([sys.executable, "-c", code, path], env=environment, capture_output=True, text=True)
        assert f"ArchiveError: another process is writing {path}" in other.stderr
        with pytest.raises(ArchiveError, match="another process is writing"):
            run("a")
    assert len(run("a")) == 8


def test_a_cut_line_is_cut_off_and_what_is_whole_is_not_written_again(tmp_path):
    archive = Archive(tmp_path / "a.jsonl")
    archive.add(Scorer().score(SPACE.smallest()))
    whole = archive.path.read_bytes()
    archive.path.write_bytes(whole + whole[:50])
    number = archive.path.stat().st_ino
    again = Archive(archive.path)
    again.add(Scorer().score(SPACE.largest()))
    assert archive.path.read_bytes().startswith(whole + b'{"digest"') and archive.path.stat().st_ino == number
    assert len(Archive(archive.path)) == 2


@pytest.mark.parametrize(("name", "value"), [
    ("score", "0.5"), ("score", None), ("score", float("nan")), ("macs", 1.5), ("params", "x"), ("generation", -1),
    ("seconds", []), ("generation", True), ("arch", 7), ("arch", {"name": 3}),
])  # fmt: skip
def test_a_mistyped_record_is_one_line_that_names_its_line(tmp_path, capsys, name, value):
    line = Scorer().score(SPACE.smallest()).to_json()
    wrong = json.dumps({**json.loads(line), name: value})
    (tmp_path / "a.jsonl").write_text(f"{line}\n{wrong}\n")
    assert main(["report", str(tmp_path / "a.jsonl"), "-o", str(tmp_path / "a.png")]) == 2
    error = capsys.readouterr().err
    assert "a.jsonl, line 2: not a search record" in error and error.count("\n") == 1


def test_a_search_stopped_before_its_first_record_reports_nothing(tmp_path):
    from search.report import plot_front, table

    assert table([], "miou").startswith("0 evaluated") and plot_front([], tmp_path / "a.svg", "miou").is_file()
