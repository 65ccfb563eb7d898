"""A full disk is one line that says where and how much; what was there before stays whole."""

import os
from pathlib import Path

import pytest

from scalenet.data.io import DiskFullError, atomic_write, full_disk_named, write_text

from .full_disk import Places, check, failing, file_limit


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return Places(tmp_path_factory.mktemp("given"), out)


@pytest.mark.parametrize("name", Places.NAMES)
def test_no_room(places, name):
    said = check(getattr(places, name)(), file_limit, places.out)
    assert ("bytes wanted" in said) == (name != "video"), said


def test_a_run_goes_on_from_the_checkpoint_that_stayed(recipe, tmp_path):
    """After the disk has room again; the files of the failed write are gone."""
    from training.engine import Run

    with pytest.raises(DiskFullError), file_limit(tmp_path):
        Run(recipe).run()
    assert Run(recipe).run().is_file()
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.endswith(".tmp")]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="shows open files on Linux alone")
def test_a_video_without_room_gives_back_what_it_took(places):
    """A file without a name takes its room for as long as it is open."""
    check(places.video(), file_limit, places.out)
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if str(places.out) in os.path.realpath(fd)]


def test_the_words_are_those_of_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(DiskFullError) as error, file_limit(tmp_path):
        write_text(tmp_path / "a.txt", "x" * 20_000)
    assert error.value.filename == str(tmp_path / "a.txt") and "20,000 bytes wanted, " in error.value.strerror
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", ["unexpected pos 128 vs 64", "I/O error: No space left on device (os error 28)", "File too large"]
)
def test_other_peoples_words_for_it(tmp_path, words):
    with pytest.raises(DiskFullError, match="bytes free"), full_disk_named(tmp_path / "none" / "a.bin"):
        raise RuntimeError(words)


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match=r"^a fault of ours$"), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError("a fault of ours")
    with pytest.raises(AssertionError, match="status 0"):
        failing(lambda: 0)
