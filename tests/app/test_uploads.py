"""What visitors send: malformed values, others' paths, uploads that are cut off, clips that hold more than they say."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from scalenet.app import uploads, video
from scalenet.data.images import save_image
from scalenet.video.reader import VideoError, probe

from ..small_app import free_port, running, tiny_models
from ..small_networks import sample_image
from ..small_video import moving, write_clip

ROOT = Path(__file__).parents[2]
MARK = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gradio")


@pytest.fixture(scope="module")
def app(folder, tmp_path_factory):
    models = tiny_models(tmp_path_factory.mktemp("weights"))
    with running({"segmentation": ["scalenet_s0"], "pose": models["pose"]}, folder) as url:
        yield url


@pytest.fixture(scope="module")
def photo(app, tmp_path_factory):
    """An uploaded image, as an endpoint takes it."""
    path = tmp_path_factory.mktemp("photo") / "street.png"
    save_image(path, sample_image(60, 80))
    (there,) = httpx.post(f"{app}gradio_api/upload", files={"files": ("street.png", path.read_bytes())}).json()
    return {"path": there, "meta": MARK}


def answer(url: str, *values: object, endpoint: str = "/segment") -> str:
    """What the server streams for values that are sent by hand."""
    event = httpx.post(f"{url}gradio_api/call{endpoint}", json={"data": values}).json()["event_id"]
    return httpx.get(f"{url}gradio_api/call{endpoint}/{event}", timeout=60).text


def test_the_same_values_by_hand_work(app, photo):
    assert "event: complete" in answer(app, photo, "scalenet_s0", 0.6, 0.1)


@pytest.mark.parametrize(
    "values, words",
    [
        (("scalenet_s0", "a", 0.1), "Opacity: a number from 0 to 1 is needed"),
        (("scalenet_s0", None, 0.1), "Opacity: a number"),
        (("scalenet_s0", True, 0.1), "Opacity: a number"),
        (("scalenet_s0", 0.6, 21), "Smallest: a number from 0 to 20"),
        ((["scalenet_s0"], 0.6, 0.1), "Model: there is no"),
        (({"a": 1}, 0.6, 0.1), "Model: there is no"),
        ((), "4 values are needed, got 1"),
    ],
)
def test_malformed_values_are_answered_in_our_own_words(app, photo, values, words):
    text = answer(app, photo, *values)
    assert "event: error" in text and words in text and "\\n" not in text and "gradio" not in text, text


def test_boxes_that_are_no_text(app, photo):
    assert "Boxes: a text is needed" in answer(app, photo, "tiny_pose", 7, 1, 0.2, endpoint="/pose")


@pytest.mark.parametrize(
    "image",
    [
        "abc", 5, True, [], [{"path": "x"}], {"a": "b"}, {"path": 5}, {"path": None, "url": "http://x/y.png"},
        {"path": "README.md"}, {"path": "README.md", "meta": MARK}, {"path": str(ROOT / "README.md")},
        {"path": "~root/x", "meta": MARK}, {"path": "a\0b", "meta": MARK}, {"path": "FOLDER", "meta": MARK},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_upload_is_refused_without_saying_where_the_server_is(app, folder, image):
    if isinstance(image, dict) and image.get("path") == "FOLDER":
        image = {**image, "path": str(folder)}
    text = answer(app, image, "scalenet_s0", 0.6, 0.1)
    assert "event: error" in text and ("upload" in text), text
    assert str(ROOT) not in text and str(folder) not in text and "\\n" not in text and "pydantic" not in text, text


def test_images_of_this_machine_are_not_read_without_the_mark_either(app, tmp_path):
    save_image(tmp_path / "private.png", sample_image(32, 32))
    text = answer(app, {"path": str(tmp_path / "private.png")}, "scalenet_s0", 0.6, 0.1)
    assert "event: error" in text and "was not uploaded by a user" in text


@pytest.mark.parametrize("body", [{"data": "x"}, {"x": 1}, [1]])
def test_bodies_of_another_form(app, body):
    answered = httpx.post(f"{app}gradio_api/call/segment", json=body)
    assert (answered.status_code, answered.text) == (422, uploads.MALFORMED)


def begin_upload(url: str, announced: int, sent: int) -> socket.socket:
    """A connection on which an upload was begun."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % announced + head + b"x" * sent
    )
    return connection


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def wait_until(true) -> bool:
    deadline = time.monotonic() + 30
    while not (done := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


def test_nothing_stays_of_an_upload_that_was_cut_off(app, folder):
    before = files_of(folder)
    connection = begin_upload(app, 3_000_000, 1_000_000)
    assert wait_until(lambda: files_of(folder) - before)
    connection.close()
    assert wait_until(lambda: files_of(folder) == before)


def test_an_upload_that_stalls_is_ended(app, folder, monkeypatch):
    monkeypatch.setattr(uploads, "PATIENCE", 0.5)
    before = files_of(folder)
    with begin_upload(app, 3_000_000, 1_000_000) as connection:
        connection.settimeout(30)
        assert b"408" in connection.recv(1000)
    assert wait_until(lambda: files_of(folder) == before)


def test_all_uploads_together_are_bounded_those_on_the_way_too(app, folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", uploads.used_bytes(folder) + 3_000_000)
    files = {"files": ("a.png", bytes(2_000_000))}
    with begin_upload(app, 2_000_000, 1000):
        assert wait_until(lambda: httpx.post(f"{app}gradio_api/upload", files=files).status_code == 503)
    assert wait_until(lambda: httpx.post(f"{app}gradio_api/upload", files=files).status_code == 200)
    answered = httpx.post(f"{app}gradio_api/upload", files=files)
    assert (answered.status_code, answered.text) == (503, uploads.FULL)
    assert httpx.post(f"{app}gradio_api/upload", content=iter([b"x"])).status_code == 411


def test_old_leftovers_go_and_younger_ones_stay(tmp_path):
    for name, age in (("tmpold", 100), ("tmpnew", 0)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    (tmp_path / "empty").mkdir()
    uploads.remove_cut_off(tmp_path, 60)
    uploads.remove_empty(tmp_path, 60)
    assert {p.name for p in tmp_path.iterdir()} == {"tmpnew", "empty"}
    uploads.remove_empty(tmp_path, 0)
    assert {p.name for p in tmp_path.iterdir()} == {"tmpnew"}


def test_a_clip_is_counted_by_what_is_decoded_and_stopped_by_time(tmp_path, monkeypatch):
    """An AVI whose header says one frame holds ten."""
    clip = write_clip(tmp_path / "c.avi", moving(10, (64, 80)), codec="mpeg4")
    data = bytearray(clip.read_bytes())
    for at, length in ((data.index(b"avih") + 8 + 16, 4), (data.index(b"strh") + 8 + 32, 4)):
        data[at : at + length] = (1).to_bytes(4, "little")
    clip.write_bytes(data)
    assert probe(clip).frames == 1
    monkeypatch.setattr(video, "MAX_PIXELS", 4 * 64 * 80)
    video.check_clip(clip)
    seen = []
    count = video.bounded(lambda done, total: seen.append(done), (64, 80))
    with pytest.raises(VideoError, match="more than 4 frames of 80 x 64 pixels"):
        for done in range(1, 11):
            count(done, 1)
    assert seen == [1, 2, 3, 4]
    monkeypatch.setattr(video, "MAX_WORK", -1)
    with pytest.raises(VideoError, match="takes more than"):
        video.bounded(lambda *_: None, (64, 80))(1, 1)


def test_the_space_leaves_nothing_after_sigterm_either(tmp_path):
    shared, port = tmp_path / "shared", free_port()
    env = {**os.environ, "GRADIO_TEMP_DIR": str(shared), "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(ROOT),
           "PYTHONUNBUFFERED": "1"}  # fmt: skip
    with subprocess.Popen(
        [sys.executable, ROOT / "demo" / "app.py"], cwd=tmp_path, env=env, stdout=-1, stderr=-1, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            assert f"ready at http://127.0.0.1:{port}/" in line, line + process.stderr.read()
            httpx.post(f"http://127.0.0.1:{port}/gradio_api/upload", files={"files": ("a.png", b"x")})
            assert any(path.name == "a.png" for path in shared.rglob("*"))
        finally:
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in err, err
    assert shared.is_dir() and not list(shared.iterdir())
