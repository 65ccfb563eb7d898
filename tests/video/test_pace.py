"""A frame rate kept between the members of a front: steps by measured time, no to and fro, every frame in order."""

import itertools
import json
import random
from functools import partial

import numpy as np
import pytest

import scalenet
from scalenet import cli
from scalenet.engines.front import Front
from scalenet.video.pace import PATIENCE, WINDOW, Pace, PacedEstimator
from scalenet.video.process import process_video

from ..commands.test_cli import as_json, fails
from ..small_fronts import write_small_front
from ..small_video import moving, write_clip

COSTS = (1.0, 1.3, 2.0, 2.6, 4.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fronts")
    return {
        task: write_small_front(folder / f"{task}.safetensors", task) for task in ("segmentation", "pose", "bottomup")
    }


def run(pace, needs, batches, noise=0.0):
    """The networks that run when network i needs ``needs(i)`` milliseconds."""
    ran, rng = [], random.Random(0)
    for _ in range(batches):
        ran.append(pace.current)
        pace.took(needs(pace.current) * (1 + noise * (2 * rng.random() - 1)))
    return ran


def steps(ran):
    return sum(a != b for a, b in itertools.pairwise(ran))


def test_the_dearest_that_keeps_the_time_is_found_and_kept():
    for limit, best in ((0.5, 0), (1.2, 0), (1.5, 1), (2.4, 2), (9.0, 4)):
        ran = run(Pace(COSTS, 10 * limit), lambda i: 10 * COSTS[i], 150)
        assert ran[:WINDOW] == [0] * WINDOW and set(ran[-100:]) == {best} and steps(ran) <= 3, limit


def test_a_machine_that_gets_busy_and_quiet_again():
    pace = Pace(COSTS, 30)
    quiet = run(pace, lambda i: 10 * COSTS[i], 50)
    busy = run(pace, lambda i: 20 * COSTS[i], 50)
    after = run(pace, lambda i: 10 * COSTS[i], 50)
    assert (quiet[-1], busy[-1], after[-1]) == (3, 1, 3) and max(map(steps, (quiet, busy, after))) <= 3
    hopeless = run(pace, lambda i: 1000 * COSTS[i], 50)
    assert hopeless[-1] == 0, "the cheapest where nothing keeps it"


def test_it_does_not_go_to_and_fro():
    needs = (10, 13, 31, 50, 90)  # the third needs more than its cost says: it is tried, left, and left alone
    pace = Pace(COSTS, 26)
    ran = run(pace, lambda i: needs[i], PATIENCE, noise=0.05)
    assert 2 in ran and set(ran[-PATIENCE // 2 :]) == {1} and steps(ran) <= 4
    later = run(pace, lambda i: needs[i], 10 * PATIENCE, noise=0.05)
    assert steps(later) <= 10, "tried again ever more rarely"
    assert later.count(2) < 50
    quicker = run(pace, lambda i: 10 * COSTS[i], 20 * PATIENCE)
    assert quicker[-1] == 2, "what has become quicker is found again"


def test_one_slow_frame_changes_nothing():
    pace = Pace(COSTS, 25)
    run(pace, lambda i: 10 * COSTS[i], 60)
    before = pace.current
    assert before == 2 and pace.took(500) == before and pace.took(10 * COSTS[before]) == before


class Clock:
    """Seconds that only pass when an estimator works."""

    now = 0.0

    def __call__(self):
        return self.now


class Working:
    """An estimator that takes its network's multiply-adds, and says which images it was given."""

    def __init__(self, clock, batch_size, speed, network):
        self.clock, self.batch_size, self.speed, self.network = clock, batch_size, speed, network

    def stream(self, images):
        for image in images:
            self.clock.now += self.network.cost().macs / self.speed()
            yield Seen(int(image[0, 0, 0]), self.network.arch)


class Seen:
    def __init__(self, number, arch):
        self.number, self.arch = number, arch

    def draw(self, image):
        return image

    def to_dict(self):
        return {"number": self.number}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_frame_has_its_result_in_order_while_members_change(files, batch_size):
    front, clock, waited = Front(files["segmentation"]), Clock(), []
    limit = front.members[5].macs / 0.85e9
    quiet = [m.name for m in front.members if m.macs / 1e9 <= 0.9 * limit][-1]
    busy = [m.name for m in front.members if m.macs / 0.4e9 <= limit][-1]

    def images():
        for i in range(250):
            clock.now += 10.0  # a camera is slow: that is nobody's work
            waited.append(i)
            yield np.full((2, 2, 3), i, np.uint8)

    speed = lambda: 1e9 if len(waited) < 120 else 0.4e9  # noqa: E731
    paced = PacedEstimator(front, 1 / limit, partial(Working, clock, batch_size, speed), clock)
    results = list(paced.stream(images()))
    assert [r.number for r in results] == list(range(250))
    ran = [f"{r.arch.digest[:8]}@{r.arch.input_size[0]}x{r.arch.input_size[1]}" for r in results]
    assert dict(paced.frames_by_member) == {name: ran.count(name) for name in dict.fromkeys(ran)}
    assert len({front.members[0].name, quiet, busy}) == 3
    assert (ran[0], ran[110], ran[-1]) == (front.members[0].name, quiet, busy), paced.frames_by_member


@pytest.mark.parametrize("task, kind", [
    ("segmentation", scalenet.Segmenter), ("pose", partial(scalenet.PoseEstimator, detector=None, batch_size=1)),
    ("bottomup", scalenet.BottomUpPoseEstimator),
])  # fmt: skip
def test_predictors_of_every_task(files, tmp_path, task, kind):
    source = write_clip(tmp_path / "clip.mp4", moving(9))
    fast = PacedEstimator(files[task], 1e-6, partial(kind, device="cpu"))
    summary = process_video(source, tmp_path / "fast.mp4", fast, json_path=tmp_path / "lines.jsonl")
    assert sum(summary.members.values()) == summary.frames == 9 and len(summary.members) == 2
    assert list(summary.members) == [fast.front.members[0].name, fast.front.members[-1].name]
    assert summary.to_dict()["members"] == summary.members
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(9))
    slow = PacedEstimator(files[task], 1e6, partial(kind, device="cpu"))
    process_video(source, tmp_path / "slow.mp4", slow)
    assert dict(slow.frames_by_member) == {slow.front.members[0].name: 9}


def test_the_commands(files, tmp_path, capsys):
    source = str(write_clip(tmp_path / "clip.mp4", moving(9)))
    common = ["--target-fps", "0.001", "--batch-size", "1", "--device", "cpu"]
    out = str(tmp_path / "out.mp4")
    assert cli.main(["segment", source, "-m", str(files["segmentation"]), "-o", out, *common]) == 0
    front = Front(files["segmentation"])
    line = f"  frames  6 by {front.members[0].name}, 3 by {front.members[-1].name}\n"
    assert capsys.readouterr().out.endswith(line)
    for task, more in (("pose", ["--detector", "none"]), ("bottomup", ["--bottom-up"]), ("bottomup", [])):
        row = as_json(capsys, "pose", source, "-m", files[task], "-o", out, "--overwrite", *more, *common)
        assert sum(row["members"].values()) == 9, task
    row = as_json(
        capsys, "pose", source, "-m", files["pose"], "-o", out, "--overwrite", "--max-macs", "9G", "--detector", "none"
    )
    assert "members" not in row and row["frames"] == 9


@pytest.mark.parametrize("more, words", [
    (["--target-fps", "0"], "a number above 0 is needed, for example 15, got '0'"),
    (["--target-fps", "nan"], "a number above 0"),
    (["--target-fps", "15", "--max-latency", "9ms"], "leave out --max-macs and --max-latency"),
])  # fmt: skip
def test_rates_that_cannot_be(files, tmp_path, capsys, more, words):
    source = str(write_clip(tmp_path / "clip.mp4", moving(3)))
    argv = ["segment", source, "-m", str(files["segmentation"]), "-o", str(tmp_path / "o.mp4"), *more]
    assert words in fails(capsys, *argv)


def test_a_rate_needs_a_video_and_a_front(files, tmp_path, capsys):
    source = str(write_clip(tmp_path / "clip.mp4", moving(3)))
    out = ["-o", str(tmp_path / "o.mp4"), "--target-fps", "15"]
    said = fails(capsys, "segment", source, "-m", "scalenet_s0.person", *out)
    assert "no front is published for scalenet_s0.person" in said
    said = fails(capsys, "segment", "--sample", "--target-fps", "15", "-o", tmp_path)
    assert "--target-fps is for a video" in said
    assert "needs a segmentation network" in fails(capsys, "segment", source, "-m", files["pose"], *out)
    with pytest.raises(ValueError, match="target_fps must be above 0"):
        PacedEstimator(files["pose"], 0, scalenet.PoseEstimator)
