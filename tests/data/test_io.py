"""Files appear whole or not at all, whoever else writes them and however a writer ends."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scalenet.data import io
from scalenet.data.io import atomic_write, write_text

KILLED = """
import os, signal, sys
from scalenet.data.io import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _as_a_new_process():
    io._left.cache_clear()


def kill_a_writer(path):
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )
    assert process.returncode == -signal.SIGKILL


def test_what_a_killed_writer_left_goes_with_the_next_and_nothing_else_does(tmp_path):
    kill_a_writer(tmp_path / "a.txt")
    kill_a_writer(tmp_path / "a.b.txt")
    (tmp_path / ".a.notes.tmp.txt").write_text("somebody's")
    with atomic_write(tmp_path / "a.txt") as running:
        io._left.cache_clear()
        write_text(tmp_path / "a.txt", "whole")
        assert running.is_file(), "of a writer that lives"
        running.write_text("later")
    left = {p.name for p in tmp_path.iterdir()}
    assert {"a.txt", ".a.notes.tmp.txt"} < left and len(left) == 3
    assert any(name.startswith(".a.b.") for name in left), "of another file, which may be all there is of it"
    assert (tmp_path / "a.txt").read_text() == "later"


def test_names_cannot_be_foreseen_and_no_link_is_followed(tmp_path, monkeypatch):
    with atomic_write(tmp_path / "a.txt") as first, atomic_write(tmp_path / "a.txt") as second:
        assert first != second and first.suffix == ".txt" and first.read_bytes() == b""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(io.secrets, "token_hex", lambda n: "0" * 16)
    with atomic_write(tmp_path / "a.txt") as planted:
        pass
    planted.symlink_to(victim)
    with pytest.raises(FileExistsError) as error:
        write_text(tmp_path / "a.txt", "theirs")
    assert victim.read_text() == "mine" and error.value.filename == str(tmp_path / "a.txt")


def test_a_link_in_place_of_what_was_written_is_not_taken(tmp_path):
    (tmp_path / "victim").write_text("mine")
    with pytest.raises(OSError), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.unlink()
        temporary.symlink_to(tmp_path / "victim")
    assert [p.name for p in tmp_path.iterdir()] == ["victim"]


def test_threads_that_write_one_path_all_end_well(tmp_path):
    errors = []

    def write(text):
        try:
            for _ in range(20):
                write_text(tmp_path / "a.txt", text * 1000)
        except OSError as e:
            errors.append(e)

    threads = [threading.Thread(target=write, args=(text,)) for text in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(set((tmp_path / "a.txt").read_text())) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there_is_named_by_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as error, atomic_write(tmp_path / "none" / "a.txt"):
        pass
    assert error.value.filename == str(tmp_path / "none" / "a.txt")


def test_long_names_and_bytes_on_the_disk_before_the_renaming(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(io.os, "fsync", lambda file: calls.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(io.os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_text(tmp_path / f"{'n' * 245}.txt", "x")
    assert calls == ["fsync", "replace"]


def test_folders_too_have_names_of_their_own_and_go_when_their_writer_is_dead(tmp_path):
    from training.data import atomic_folder

    with atomic_folder(tmp_path / "out") as first:
        assert first.is_dir() and first.name.startswith(f".out.{os.getpid()}-")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = first.with_name(first.name.replace(f"{os.getpid()}", f"{process.pid}"))
    dead.mkdir()
    (dead / "half.png").write_text("half")
    io._left.cache_clear()
    with pytest.raises(ValueError, match="exists already"), atomic_folder(tmp_path / "out"):
        pass
    (tmp_path / "out").rmdir()
    with atomic_folder(tmp_path / "out") as second:
        assert first != second and not dead.exists()
