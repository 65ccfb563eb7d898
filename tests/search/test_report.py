"""The page of a search: what it says of the records, and that it needs nothing else."""

import json
import random
import re
from pathlib import Path

import pytest

from scalenet.models.names import named_arch
from search.__main__ import main
from search.archive import Archive, Record
from search.report import hrnet_of
from search.report_page import hypervolume, write_page

from ..small_training import SPACE


def records():
    archs = [SPACE.sample(random.Random(seed)) for seed in range(12)] + [SPACE.hrnet()]
    return [Record(a, 0.3 + 0.03 * i, 100 + 7 * (i * 5 % 13), 10 + i, i // 6, 60.0) for i, a in enumerate(archs)]


def test_hypervolume_is_the_mean_of_the_best_within():
    one = [Record(SPACE.smallest(), 0.5, 20, 1, 0, 1.0)]
    assert hypervolume(one, 100) == pytest.approx(0.4)
    two = [*one, Record(SPACE.largest(), 0.9, 60, 1, 0, 1.0), Record(SPACE.hrnet(), 0.4, 80, 1, 0, 1.0)]
    assert hypervolume(two, 100) == pytest.approx(0.5 * 0.4 + 0.9 * 0.4)


def test_the_pattern_is_found_from_the_records_alone():
    assert hrnet_of(records()) == SPACE.hrnet().digest
    assert hrnet_of([Record(named_arch("scalenet_s1"), 0, 1, 1, 0, 1.0)])


def test_the_page_holds_all_and_asks_for_nothing(tmp_path):
    found = records()
    page = write_page(found, tmp_path / "r.html", "miou").read_text()
    names = {name for name in re.findall(r'data-name="([^"]+)"', page) if not name.startswith("after ")}
    assert names == {r.key for r in found}
    drawings = json.loads(re.search(r"const drawings=(\{.*\});", page)[1])
    assert drawings.keys() == names and all(d.startswith("<svg") for d in drawings.values())
    assert "13 architectures scored by miou in 3 generations, 13.0 minutes of scoring" in page
    assert "HRNet&#x27;s pattern" in page and "was not scored" not in page
    assert not re.search(r"(src|href)=|@import|fetch\(", page)
    assert "was not scored" in write_page(found[:5], tmp_path / "few.html", "miou").read_text()


def test_the_command_writes_a_page_or_a_picture(tmp_path, capsys):
    archive = Archive(tmp_path / "a.jsonl")
    for record in records():
        archive.add(record)
    rank = tmp_path / "rank.jsonl"
    rank.write_text("".join(json.dumps({"digest": r.digest, "alone": r.score}) + "\n" for r in records()[:5]))
    out = str(tmp_path / "r.html")
    assert main(["report", str(archive.path), "--metric", "miou", "--rank", str(rank), "-o", out]) == 0
    assert "<td>trained alone</td><td>5</td><td>1.000</td>" in Path(out).read_text()
    for wrong in (["--rank", str(tmp_path / "none"), "-o", out], ["--rank", str(rank), "-o", str(tmp_path / "r.png")]):
        assert main(["report", str(archive.path), *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
