"""``python -m benchmarks.fronts``: what it says of a front is so."""

import os

import pytest

from benchmarks.fronts import evaluated, measure
from scalenet.engines.front import Front

from ..small_fronts import write_small_front


def test_the_figures_of_a_front(tmp_path, monkeypatch):
    file = write_small_front(tmp_path / "toys.front.safetensors")
    for place in ("scalenet.engines.latency", "benchmarks.fronts"):
        monkeypatch.setattr(f"{place}.network_ms", lambda network, *_: network.cost().macs / 1e6)
    before = os.environ.get("SCALENET_CACHE")
    found = {m.name.partition(": ")[2]: m for m in measure([str(file)])}
    front = Front(file)
    assert os.environ.get("SCALENET_CACHE") == before, "the user's own times are left alone"
    assert found["members"].value == 8 and "MISSED" in found["members"].row()
    assert found["steps up that score more"].value == 7 and "MISSED" not in found["steps up that score more"].row()
    assert found["largest over smallest, multiply-adds"].value == front.members[-1].macs / front.members[0].macs
    assert found["file"].value == pytest.approx(file.stat().st_size / 1e6)
    times = [found[f"torch, pick by latency, {when}"].value for when in ("first time", "again")]
    assert times[1] < times[0]
    (again,) = (m.value for name, m in found.items() if name.endswith("timed again, of the limit"))
    (known,) = (m.value for name, m in found.items() if name.endswith("timed to pick"))
    assert again == 1 and known == found[f"torch, limit (the time of {front.members[4].name})"].value
    with pytest.raises(ValueError, match="--evaluate knows the fronts of the package"):
        evaluated(str(file), front, tmp_path)


def test_members_are_measured_anew_by_the_command_of_the_front(tmp_path, monkeypatch):
    asked = []

    class Done:
        stdout = '{"recorded": 0.5, "measured": 0.50002}\n{"recorded": 0.6, "measured": 0.6}\n'

    monkeypatch.setattr("subprocess.run", lambda command, **_: asked.append(command) or Done)
    front = Front("scalenet_p0")
    count, worst = evaluated("scalenet_p0", front, tmp_path)
    assert (count.value, round(worst.value, 6)) == (2, 0.2) and "MISSED" not in worst.row()
    (words,) = asked
    assert words[1:6] == ["-m", "search", "front", "p0", "training/checkpoints/p0_archive.jsonl"]
    assert words[6:] == [
        f"root={tmp_path / 'stanford40'}",
        "calibration=128",
        "limit=200",
        "-o",
        str(front.path),
        "--check",
    ]
