"""Videos through the real reader, estimators and writer: frames, times, orientation, memory, Ctrl-C, bad files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scalenet import BottomUpPoseEstimator, PoseEstimator, Segmenter, cli
from scalenet.data.labels import COCO
from scalenet.video import process, reader
from scalenet.video.process import VideoError, VideoInterrupted, probe, process_video
from scalenet.video.reader import is_video, read_frames
from scalenet.video.tracking import Tracker

from ..commands.test_cli import as_json, fails
from ..small_networks import small_network, write
from ..small_pose import SpotNetwork, paint, person
from ..small_video import boxes_of, frames_of, images_of, moving, only_sound, times_of, write_clip

ROOT = Path(__file__).parents[2]


class Plain:
    """An estimator that finds nothing and draws nothing; ``at`` is called with each frame's number."""

    def __init__(self, batch_size=1, at=lambda number: None):
        self.batch_size, self.at = batch_size, at

    def stream(self, images):
        group = []
        for number, image in enumerate(images):
            self.at(number)
            group.append(image)
            if len(group) == self.batch_size:
                yield from (Nothing() for _ in group)
                group = []
        yield from (Nothing() for _ in group)


class Nothing:
    def draw(self, image):
        return image

    def to_dict(self):
        return {"nothing": True}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network()


@pytest.fixture(scope="module")
def weights(net, tmp_path_factory):
    return write(net, tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", moving(12))


def near(a, b, tolerance=6):
    return np.abs(a.astype(int) - b).mean() < tolerance


def test_a_clip_keeps_frames_rate_size_and_plays_everywhere(net, clip, tmp_path):
    out, seen = tmp_path / "out.mp4", []
    summary = process_video(
        clip, out, Segmenter(net), progress=lambda *a: seen.append(a), json_path=tmp_path / "o.jsonl"
    )
    frames = frames_of(out)
    assert len(frames) == summary.frames == summary.expected == 12 and seen == [(i, 12) for i in range(1, 13)]
    assert (frames[0].height, frames[0].width) == summary.size == (64, 80)
    assert times_of(out) == pytest.approx(times_of(clip), abs=1e-3)
    assert summary.fps == 25 and summary.duration == pytest.approx(0.48) and not summary.sound
    info = probe(out)
    assert info.codec == "h264" and info.fps == 25 and info.duration == pytest.approx(0.48, abs=1e-3)
    assert frames[0].format.name == "yuv420p"
    assert boxes_of(out)[:2] == ["ftyp", "moov"] and "moof" not in boxes_of(out), "ordinary, its index in front"
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [r["frame"] for r in rows] == list(range(12)) and rows[3]["time"] == pytest.approx(0.12)
    assert rows[5] == {"frame": 5, "time": 0.2, **Segmenter(net)(next_frames(clip)[5]).to_dict()}
    mean = np.mean([r["shares"] for r in rows], 0)
    np.testing.assert_allclose(summary.to_dict()["shares"], mean, atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "o.jsonl", "out.mp4"]


def next_frames(path):
    return [frame.image for frame in read_frames(path)]


def test_the_default_image_is_the_overlay_with_a_legend_that_only_grows(net):
    image = moving(1, (240, 320))[0]
    result, draw = Segmenter(net)(image), process.drawer()
    drawn = draw(result, image)
    bare = result.draw(image, legend=False)
    assert drawn.shape == image.shape and (drawn[:20, :60] != bare[:20, :60]).any()
    np.testing.assert_array_equal(drawn[:, 160:], bare[:, 160:])
    np.testing.assert_array_equal(process.drawer(legend=False)(result, image), bare)
    one = type(result)(np.full(image.shape[:2], 3, np.uint8), result.labels)
    later, alone = draw(one, image), process.drawer()(one, image)
    assert (later != alone).any(), "rows stay when their class is gone"
    tiny = moving(1, (24, 30))[0]
    small = Segmenter(net)(tiny)
    np.testing.assert_array_equal(process.drawer()(small, tiny), small.draw(tiny, legend=False))


@pytest.mark.parametrize("name, codec", [("clip.mkv", "libx264"), ("clip.mp4", "libx264"), ("clip.webm", "libvpx-vp9")])
def test_a_variable_rate_keeps_its_time_stamps(tmp_path, name, codec):
    times = [0, 40, 100, 300, 333, 1000, 1010, 1500]
    source = write_clip(tmp_path / name, moving(8), times, codec)
    process_video(source, tmp_path / "out.mp4", Plain(batch_size=3), json_path=tmp_path / "out.jsonl")
    assert times_of(tmp_path / "out.mp4") == pytest.approx(np.array(times) / 1000, abs=2e-3)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["time"] for line in lines] == pytest.approx(np.array(times) / 1000, abs=2e-3)


@pytest.mark.parametrize(
    "name, codec", [("a.mov", "libx264"), ("a.avi", "libx264"), ("a.gif", "gif"), ("a.mkv", "ffv1")]
)
def test_other_containers(tmp_path, name, codec):
    source = write_clip(tmp_path / name, moving(5), codec=codec)
    assert is_video(source) and probe(source).size == (64, 80)
    summary = process_video(source, tmp_path / "out.mp4", Plain())
    assert summary.frames == len(frames_of(tmp_path / "out.mp4")) == 5
    assert near(images_of(tmp_path / "out.mp4")[4], moving(5)[4], 20 if codec == "gif" else 6)


def test_a_still_gif_is_a_image(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "still.gif")
    (tmp_path / "text.gif").write_text("hello")
    assert not is_video(tmp_path / "still.gif") and not is_video(tmp_path / "text.gif")


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frames_stand_upright(tmp_path, rotation):
    corners = np.zeros((48, 80, 3), np.uint8)
    corners[:24, :40], corners[:24, 40:], corners[24:, :40] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    source = write_clip(tmp_path / "clip.mp4", [corners] * 3, rotation=rotation)
    summary = process_video(source, tmp_path / "out.mp4", Plain())
    upright = np.rot90(corners, rotation // 90)
    assert summary.size == probe(source).size == upright.shape[:2]
    shown = frames_of(tmp_path / "out.mp4")[0]
    assert not shown.rotation and near(shown.to_ndarray(format="rgb24"), upright), "colours stay too"


class Turned:
    """Stands in for a decoded frame with a display matrix."""

    def __init__(self, matrix):
        data = np.array([*matrix[0], 0, *matrix[1], 0, 0, 0, 1 << 14], np.int32) << 16

        class Side(bytes):
            type = type("Type", (), {"name": "DISPLAYMATRIX"})

        self.side_data = [Side(data.tobytes())]


@pytest.mark.parametrize("matrix, expected", [
    (((1, 0), (0, 1)), (False, False, False)), (((-1, 0), (0, 1)), (False, True, False)),
    (((1, 0), (0, -1)), (False, False, True)), (((0, 1), (1, 0)), (True, False, False)),
    (((0, -1), (1, 0)), (True, False, True)), (((0, 1), (-1, 0)), (True, True, False)),
])  # fmt: skip
def test_mirrored_frames_too(matrix, expected):
    assert reader._orientation(Turned(matrix)) == expected


def test_an_odd_size_gets_its_last_row_and_column_once_more(tmp_path):
    images = moving(3, (51, 67))
    source = write_clip(tmp_path / "odd.mkv", images, codec="ffv1")
    summary = process_video(source, tmp_path / "out.mp4", Plain())
    shown = images_of(tmp_path / "out.mp4")[1]
    assert summary.size == shown.shape[:2] == (52, 68)
    assert near(shown[:51, :67], images[1]) and near(shown[51, :67], images[1][50], 12)


@pytest.mark.parametrize("size", [(2, 2), (1, 1), (2, 300)])
def test_tiny_frames(tmp_path, size):
    source = write_clip(tmp_path / "tiny.mkv", moving(3, size), codec="ffv1")
    process_video(source, tmp_path / "out.mp4", Plain())
    assert len(frames_of(tmp_path / "out.mp4")) == 3


def test_one_frame(net, tmp_path):
    source = write_clip(tmp_path / "one.mp4", moving(1))
    summary = process_video(source, tmp_path / "out.mp4", Segmenter(net, batch_size=4))
    assert summary.frames == len(frames_of(tmp_path / "out.mp4")) == 1 and summary.duration == pytest.approx(0.04)


def test_a_file_cut_off_gives_the_frames_it_has(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", moving(60), movflags="faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    seen = []
    summary = process_video(cut, tmp_path / "out.mp4", Plain(), progress=lambda *a: seen.append(a))
    assert 20 < summary.frames < 60 == summary.expected and seen[-1] == (summary.frames, summary.frames)
    assert len(frames_of(tmp_path / "out.mp4")) == summary.frames


def test_damage_in_the_middle_is_left_out(tmp_path):
    data = bytearray(write_clip(tmp_path / "whole.mkv", moving(60)).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    (tmp_path / "bad.mkv").write_bytes(data)
    summary = process_video(tmp_path / "bad.mkv", tmp_path / "out.mp4", Plain())
    assert 20 < summary.frames <= 60 and np.all(np.diff(times_of(tmp_path / "out.mp4")) > 0)


def test_a_stream_that_changes_its_size_keeps_the_first(tmp_path, monkeypatch):
    source = write_clip(tmp_path / "clip.mp4", moving(3))
    upright, sizes = reader._upright, iter([(64, 80), (32, 40), (64, 80)])
    monkeypatch.setattr(reader, "_upright", lambda frame: upright(frame)[: (size := next(sizes))[0], : size[1]].copy())
    assert [image.shape for image in next_frames(source)] == [(64, 80, 3)] * 3


def test_time_stamps_that_make_no_sense_are_mended():
    class Stream:
        average_rate, guessed_rate, base_rate, time_base = 25, None, None, reader.Fraction(1, 1000)

    class Frame:
        def __init__(self, pts, duration=0):
            self.pts, self.duration, self.time_base = pts, duration, reader.Fraction(1, 1000)

    clock = reader._Clock(Stream)
    shown = [clock(Frame(pts))[0] for pts in (5000, 5040, None, 5030, 5070, 10**12, 10**12 + 50)]
    assert shown == [0, 40, 80, 120, 160, 200, 250]
    assert clock(Frame(10**12 + 90, 33))[1] == 33 and clock(Frame(None, 10**9))[1] == 40


def test_sound_is_copied_and_ends_with_the_images(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", moving(50), sound=True)
    for count, frames in ((None, 50), (20, 20)):
        summary = process_video(source, tmp_path / "out.mp4", Plain(), max_frames=count)
        with reader.load_av().open(str(tmp_path / "out.mp4")) as container:
            sound = container.streams.audio[0]
            samples = sum(frame.samples for frame in container.decode(sound))
        assert summary.sound and sound.codec_context.name == "aac" and summary.frames == frames
        assert samples / 16000 == pytest.approx(frames * 0.04, abs=0.15)
        assert len(frames_of(tmp_path / "out.mp4")) == frames


def test_batches_reach_the_network(net, clip, tmp_path, monkeypatch):
    segmenter, sizes = Segmenter(net, batch_size=5), []
    run = segmenter._run
    monkeypatch.setattr(segmenter, "_run", lambda group: sizes.append(len(group)) or run(group))
    process_video(clip, tmp_path / "out.mp4", segmenter)
    assert sizes == [5, 5, 2]


@pytest.mark.parametrize("slow", ["network", "draw"])
def test_a_long_clip_is_not_read_ahead(tmp_path, monkeypatch, slow):
    source = write_clip(tmp_path / "long.mp4", moving(90, (16, 16)))
    counts, most = {"read": 0, "written": 0}, []

    def counted(*args):
        for frame in read_frames(*args):
            counts["read"] += 1
            yield frame

    def draw(result, image):
        counts["written"] += 1
        most.append(counts["read"] - counts["written"])
        time.sleep(0.004 * (slow == "draw"))
        return image

    monkeypatch.setattr(process, "read_frames", counted)
    at = lambda number: time.sleep(0.004 * (slow == "network"))  # noqa: E731
    process_video(source, tmp_path / "out.mp4", Plain(batch_size=2, at=at), draw=draw)
    assert counts == {"read": 90, "written": 90}
    assert 3 <= max(most) <= 4 + 1 + 2 + 4 + 1, "a queue and a frame on either side, and a batch between"


@pytest.mark.parametrize("batch_size", [1, 4])
def test_ctrl_c_keeps_what_there_is(tmp_path, batch_size):
    def press(number):
        if number == 17:
            raise KeyboardInterrupt

    source, out = write_clip(tmp_path / "clip.mp4", moving(30), sound=True), tmp_path / "out.mp4"
    with pytest.raises(VideoInterrupted) as stopped:
        process_video(source, out, Plain(batch_size, press), json_path=tmp_path / "out.jsonl")
    summary = stopped.value.summary
    assert summary.frames == 17 // batch_size * batch_size == len(frames_of(out)) and summary.expected == 30
    assert "moof" not in boxes_of(out) and len((tmp_path / "out.jsonl").read_text().splitlines()) == summary.frames
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "out.jsonl", "out.mp4"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_remains_where_there_is_nothing_to_keep(clip, tmp_path, error):
    def fail(number):
        if number == (0 if error is KeyboardInterrupt else 6):
            raise error("so")

    (tmp_path / "out.mp4").write_text("older")
    with pytest.raises(error):
        process_video(clip, tmp_path / "out.mp4", Plain(at=fail), json_path=tmp_path / "out.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "older"


@pytest.mark.parametrize("where", ["draw", "progress", "size"])
def test_errors_of_the_callers_own_come_through(clip, tmp_path, where):
    def broken(*args):
        raise LookupError(where)

    def growing(result, image, sizes=iter(range(64, 80))):  # noqa: B008
        return np.zeros((next(sizes), 80, 3), np.uint8)

    options = {"draw": {"draw": broken}, "progress": {"progress": broken}, "size": {"draw": growing}}[where]
    with pytest.raises(VideoError if where == "size" else LookupError, match="one size" if where == "size" else where):
        process_video(clip, tmp_path / "out.mp4", Plain(), **options)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_image_of_the_callers_own_may_have_another_size(clip, tmp_path):
    summary = process_video(clip, tmp_path / "out.mp4", Plain(), draw=lambda result, image: np.repeat(image, 2, 1))
    assert summary.size == images_of(tmp_path / "out.mp4")[0].shape[:2] == (64, 160)


def python(code, *argv, **options):
    lines = ["import signal, sys", "signal.signal(signal.SIGINT, signal.default_int_handler)", *code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines), *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, cwd=ROOT, **options,
    )  # fmt: skip


def test_a_killed_process_leaves_a_file_that_plays(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", moving(100))
    code = [
        "import os, signal, time",
        "from scalenet.video.process import process_video",
        "print('av' in sys.modules, flush=True)",
        "from tests.video.test_process import Plain",
        "def at(number):",
        "    if number == 95: time.sleep(0.5); os.kill(os.getpid(), signal.SIGKILL)",
        "process_video(sys.argv[1], sys.argv[2], Plain(at=at))",
    ]
    process = python(code, source, tmp_path / "out.mp4")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, stderr.decode()
    assert stdout == b"False\n", "PyAV is imported where it is used"
    (left,) = (p for p in tmp_path.iterdir() if p != source)
    assert left.match(f".out.{process.pid}-*.tmp.mp4") and 50 <= len(frames_of(left)) < 100


def test_a_real_ctrl_c_on_the_command(weights, tmp_path):
    source, out = write_clip(tmp_path / "clip.mp4", moving(3000)), tmp_path / "out.mp4"
    code = ["from scalenet.cli import main", "sys.exit(main(sys.argv[1:]))"]
    process = python(code, "segment", source, "-m", weights, "-o", out, "--device", "cpu")
    seen = b""
    while b" 20/3000" not in seen and b"%" not in seen.replace(b"  0%", b""):
        part = os.read(process.stderr.fileno(), 1000)
        assert part, seen.decode()
        seen += part
    process.send_signal(signal.SIGINT)
    stdout, rest = process.communicate(timeout=60)
    assert process.returncode == 130 and stdout == b""
    assert b"Traceback" not in rest and b"<" in seen, "a bar with the time that is left"
    last = rest.decode().rstrip().splitlines()[-1]
    count = len(frames_of(out))
    assert last == f"scalenet segment: stopped after {count} frames, kept in {out}" and 5 < count < 3000
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == count
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "out.jsonl", "out.mp4"]


# -- the command ------------------------------------------------------------------------------------------------
def test_segment_takes_a_video(capsys, weights, clip, tmp_path):
    result = as_json(capsys, "segment", clip, "-m", weights, "-o", tmp_path / "new" / "seen.mp4", "--batch-size", 4)
    assert result["frames"] == 12 and result["fps"] == 25 and result["size"] == [64, 80] and result["seconds"] > 0
    assert result["out"] == str(tmp_path / "new" / "seen.mp4") and len(frames_of(Path(result["out"]))) == 12
    assert sum(result["shares"]) == pytest.approx(1, abs=1e-4) and result["classes"][0] == "sky"
    assert len(Path(result["results"]).read_text().splitlines()) == 12
    assert cli.main(["segment", str(clip), "-m", str(weights), "-o", str(tmp_path / "folder")]) == 0
    out, err = capsys.readouterr()
    assert f"{clip} (80 wide, 64 high): 12 frames, 25 a second" in out and "12/12" in err
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["clip_overlay.jsonl", "clip_overlay.mp4"]


@pytest.mark.parametrize("task", ["pose", "bottomup"])
def test_pose_takes_a_video_and_follows_people(capsys, tmp_path, task):
    torch.manual_seed(0)
    file, clip = write(small_network(task, COCO), tmp_path / "pose.safetensors"), tmp_path / "short.mp4"
    write_clip(clip, moving(4))
    people = ["--bottom-up"] if task == "bottomup" else ["--detector", "none"]
    result = as_json(capsys, "pose", clip, "-m", file, "-o", tmp_path / "out", *people)
    assert result["out"].endswith("short_pose.mp4") and result["frames"] == 4 and result["people"] >= (task == "pose")
    rows = [json.loads(line) for line in Path(result["results"]).read_text().splitlines()]
    assert all(len(row["ids"]) == len(row["keypoints"]) for row in rows)
    assert len({i for row in rows for i in row["ids"]} - {None}) == result["people"]
    assert "already exists: --overwrite" in fails(capsys, "pose", clip, "-m", file, "-o", tmp_path / "out", *people)
    again = ["--no-track", "--overwrite", *people]
    result = as_json(capsys, "pose", clip, "-m", file, "-o", tmp_path / "out", *again)
    assert result["people"] is None and result["most_people"] >= (task == "pose")
    assert "ids" not in json.loads(Path(result["results"]).read_text().splitlines()[0])


def test_joints_stay_with_their_person_through_the_video(tmp_path):
    people = [[person(80 + 4 * i, 80), person(320 - 4 * i, 120)] for i in range(12)]
    images = [paint((200, 400), two) for two in people]
    source, out = write_clip(tmp_path / "walk.mp4", images), tmp_path / "out.mp4"

    def detector(image):
        spots = np.flatnonzero((image[..., 2] > 150).any(0))
        left, right = spots[spots < 200], spots[spots >= 200]
        return [(side.mean() - 40, 20, side.mean() + 40, 180) for side in (right, left)]

    estimator = PoseEstimator(SpotNetwork(), flip=False, batch_size=6, detector=detector)
    summary = process_video(source, out, estimator, tracker=Tracker(seen=1), json_path=tmp_path / "out.jsonl")
    assert summary.found == {"people": 2, "most_people": 2}
    for i, line in enumerate((tmp_path / "out.jsonl").read_text().splitlines()):
        row = json.loads(line)
        where = {who: np.array(joints)[:, :2] for who, joints in zip(row["ids"], row["keypoints"], strict=True)}
        for who, joints in where.items():
            expected = people[i][{where_id: k for k, where_id in enumerate(sorted(where))}[who]]
            assert np.abs(joints - expected[:, :2]).max() < 4
    with_ids = images_of(out)[6]
    assert near(with_ids[:, :20], images[6][:, :20]) and not near(with_ids[60:140], images[6][60:140], 1)


def test_the_bottom_up_estimator_streams(tmp_path):
    torch.manual_seed(0)
    estimator = BottomUpPoseEstimator(small_network("bottomup", COCO), batch_size=3)
    images = moving(10)
    pulled = []
    stream = estimator.stream(pulled.append(i) or image for i, image in enumerate(images))
    first = next(stream)
    assert len(pulled) == 6, "a batch, and the one that is worked on meanwhile"
    for one, other in zip([first, *stream], estimator(images), strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-3)


# -- what is no video -------------------------------------------------------------------------------------------
def gif_of_hostile_size(path):
    write_clip(path.with_suffix(".gif"), moving(3), codec="gif")
    data = bytearray(path.with_suffix(".gif").read_bytes())
    data[6:10] = (16_000).to_bytes(2, "little") * 2
    path.write_bytes(data)


def playlist(path):
    write_clip(path.parent / "secret.mp4", moving(3))
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")


@pytest.mark.parametrize("make, text", [
    (lambda p: p.write_bytes(b""), "is empty"), (lambda p: p.write_text("hello, I am no video\n" * 50), "not a video"),
    (lambda p: Image.new("RGB", (64, 64)).save(p, "PNG"), "not a video"), (playlist, "not a video"),
    (only_sound, "no video stream, only sound"), (gif_of_hostile_size, "36 megapixels"),
    (lambda p: p.mkdir(), "it is a folder"), (lambda p: None, "no video"),
    (lambda p: p.write_bytes(write_clip(p.with_suffix(".mkv"), moving(5)).read_bytes()[:700]), "clip.mp4"),
], ids=["empty", "text", "image", "playlist", "sound", "hostile", "folder", "missing", "header"])  # fmt: skip
@pytest.mark.parametrize("command", ["segment", "pose"])
def test_bad_input_is_one_line(capsys, weights, tmp_path, command, make, text):
    make(tmp_path / "clip.mp4")
    before = sorted(tmp_path.iterdir())
    err = fails(capsys, command, tmp_path / "clip.mp4", "-m", weights, "-o", tmp_path / "out.mp4")
    assert text in err and "clip.mp4" in err and sorted(tmp_path.iterdir()) == before


def test_options_that_do_not_fit_a_video(capsys, weights, clip, tmp_path):
    os.link(clip, tmp_path / "same.mp4")
    photo = tmp_path / "street.png"
    Image.fromarray(moving(1)[0]).save(photo)
    before, data = sorted(tmp_path.iterdir()), clip.read_bytes()
    for target in (clip, tmp_path / "same.mp4", f"{tmp_path}/./clip.mp4"):
        assert "is the video that is read" in fails(capsys, "segment", clip, "-m", weights, "-o", target)
    assert "written as .mp4" in fails(capsys, "segment", clip, "-m", weights, "-o", tmp_path / "out.avi")
    assert "one video and nothing else" in fails(capsys, "segment", clip, photo, "-m", weights)
    assert "give a folder" in fails(capsys, "segment", photo, "-m", weights, "-o", tmp_path / "out.mp4")
    assert "--detector" in fails(capsys, "pose", clip, "-m", weights, "--boxes", "b.json", "-o", tmp_path / "out.mp4")
    assert clip.read_bytes() == data and sorted(tmp_path.iterdir()) == before
    with pytest.raises(VideoError, match="no folder"):
        process_video(clip, tmp_path / "nowhere" / "out.mp4", Plain())
    with pytest.raises(VideoError, match="at least 1"):
        process_video(clip, tmp_path / "out.mp4", Plain(), max_frames=0)
    with pytest.raises(VideoError, match="is the video that is read"):
        process_video(clip, tmp_path / "out.mp4", Plain(), json_path=clip)


def test_without_pyav_one_line_says_how_to_get_it(capsys, weights, clip, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install av" in fails(capsys, "segment", clip, "-m", weights, "-o", tmp_path / "out.mp4")
