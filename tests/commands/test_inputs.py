"""What is named on a command line becomes images; one that fails does not take the others with it."""

import io
import json
import re
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from scalenet import cli
from scalenet.commands.inputs import ImageSource, find_sources, unique_names
from scalenet.data.images import save_image
from scalenet.data.labels import COCO

from ..small_networks import sample_image, small_network, write


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    return str(write(small_network(), tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def joints(tmp_path_factory):
    torch.manual_seed(0)
    return str(write(small_network("pose", COCO, (64, 48)), tmp_path_factory.mktemp("weights") / "p.safetensors"))


@pytest.fixture
def folder(tmp_path):
    """a.png, b.jpg, notes.md, a hidden image, one in a hidden folder, and deeper/a.png."""
    root = tmp_path / "photos"
    for place in (root / "deeper", root / ".ipynb_checkpoints"):
        place.mkdir(parents=True)
    for name in ("a.png", "b.jpg", ".hidden.png", "deeper/a.png", ".ipynb_checkpoints/a-checkpoint.png"):
        save_image(root / name, sample_image(32, 40))
    (root / "notes.md").write_text("no image")
    return root


def named(words, **options):
    return [source.text for source in find_sources(map(str, words), **options)]


def test_folders_wildcards_and_lists(folder, monkeypatch):
    flat = [str(folder / "a.png"), str(folder / "b.jpg")]
    deep = str(folder / "deeper" / "a.png")
    assert named([folder]) == flat and named([folder], recursive=True) == [*flat, deep]
    assert named([folder / "*.png"]) == flat[:1] and named([folder / "**" / "a.png"]) == [flat[0], deep]
    (folder / "list.txt").write_text(f"# two\n{flat[0]}\n\n  deeper/a.png\nhttp://x/y.png\nnone.png\n")
    assert named([folder / "list.txt"]) == [flat[0], deep, "http://x/y.png", "none.png"]
    odd = folder / "[odd].png"
    save_image(odd, sample_image(8, 8))
    assert named([odd]) == [str(odd)]


def test_names_of_results():
    sources = [
        ImageSource(t) for t in ("x/a.png", "y/a.jpg", "a_2.png", "z/a.png", "-", "https://h/p%20q.jpg?s=1", "http://h")
    ]
    assert unique_names(sources) == ["a", "a_2", "a_2_2", "a_3", "stdin", "p q", "image"]
    assert ImageSource("-").path is None and ImageSource("http://h/a.png").path is None


@pytest.mark.parametrize(
    ("words", "message"),
    [(["{}/deeper/none"], "no image"), (["{}/*.bmp"], r"no image matches .*\*\.bmp"), (["-", "-"], "give it once"),
     (["{}/empty"], "--recursive looks into"), (["{}/list.txt"], "lists no image"),
     (["{}", "--shard", "3/2"], "I from 1 to N"), (["{}", "-o", "{}/one.png"], "one file for 2 images"),
     (["{}", "--overwrite", "--skip-existing"], "not allowed with")],
)  # fmt: skip
def test_what_names_no_image_is_one_line(folder, weights, words, message, capsys, tmp_path):
    (folder / "empty").mkdir()
    (folder / "list.txt").write_text("# nothing\n")
    argv = ["segment", "-m", weights, "-o", str(tmp_path / "out"), *(w.format(folder) for w in words)]
    try:
        status = cli.main(argv)
    except SystemExit as e:
        status = e.code
    err = capsys.readouterr().err
    assert status == 2 and err.count("\n") == 1
    assert re.search(message, err) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch", ["1", "2"])
def test_one_bad_file_is_named_and_the_rest_is_done(folder, weights, batch, capsys, tmp_path):
    (folder / "aa.png").write_bytes(b"no image")
    argv = ["segment", str(folder), str(folder / "gone.png"), "-m", weights, "-o", str(tmp_path / "out"), "--json"]
    assert cli.main([*argv, "--batch-size", batch]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert [i["image"] for i in answer["images"]] == [str(folder / "a.png"), str(folder / "b.jpg")]
    assert [f["image"] for f in answer["failed"]] == [str(folder / "aa.png"), str(folder / "gone.png")]
    assert "left out" in err and "2 of 4 images could not be read" in err
    assert cli.main([*argv[:-1], "--strict", "--overwrite"]) == 2
    assert "aa.png is not an image" in capsys.readouterr().err


def test_results_that_exist_are_kept_replaced_or_left_out(folder, weights, capsys, tmp_path):
    out = tmp_path / "out"
    argv = ["segment", str(folder), "-m", weights, "-o", str(out)]
    assert cli.main(argv) == 0
    kept = out / "a_mask.png"
    kept.write_bytes(b"mine")
    (out / "b_mask.png").unlink()
    assert cli.main(argv) == 2
    assert "--skip-existing keeps them" in capsys.readouterr().err and kept.read_bytes() == b"mine"
    assert cli.main([*argv, "--skip-existing", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["skipped"] == 1 and [i["mask"] for i in answer["images"]] == [str(out / "b_mask.png")]
    assert kept.read_bytes() == b"mine"
    assert cli.main([*argv, "--overwrite"]) == 0 and kept.read_bytes() != b"mine"


def test_the_file_that_is_asked_for_is_written(folder, weights, joints, tmp_path, capsys):
    one = tmp_path / "new" / "one.png"
    assert cli.main(["segment", str(folder / "a.png"), "-m", weights, "-o", str(one)]) == 0
    assert cv2.imread(str(one)).shape[1] >= 40 and (tmp_path / "new" / "one_mask.png").is_file()
    two = tmp_path / "two.jpg"
    argv = ["pose", str(folder / "a.png"), "-m", joints, "--detector", "none", "-o", str(two)]
    assert cli.main(argv) == 0
    assert cv2.imread(str(two)).shape == (32, 40, 3) and len(json.loads(two.with_suffix(".json").read_text())) == 1


def test_standard_input(weights, tmp_path, monkeypatch, capsys):
    data = cv2.imencode(".png", sample_image(32, 40))[1].tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert cli.main(["segment", "-", "-m", weights, "-o", str(tmp_path)]) == 0
    assert cv2.imread(str(tmp_path / "stdin_mask.png"), 0).shape == (32, 40)


def test_shards_share_the_images_out(folder, joints, tmp_path, capsys):
    out = tmp_path / "out"
    for part in ("1/2", "2/2", "3/3"):
        argv = ["pose", str(folder), "-m", joints, "--detector", "none", "-o", str(out), "--shard", part]
        assert cli.main(argv) == 0
    files = {p.name: len(json.loads(p.read_text())) for p in out.glob("*.json")}
    assert files == {"keypoints_1_of_2.json": 1, "keypoints_2_of_2.json": 1, "keypoints_3_of_3.json": 0}
    assert {p.name for p in out.glob("*.png")} == {"a_pose.png", "b_pose.png"}


def test_a_killed_run_of_pose_goes_on_where_it_was(folder, joints, tmp_path, monkeypatch, capsys):
    from scalenet.predict.results import PoseResult

    out, save, drawn = tmp_path / "out", PoseResult.save, []

    def save_once(self, path, *args):
        if drawn:
            raise KeyboardInterrupt
        drawn.append(path)
        return save(self, path, *args)

    monkeypatch.setattr(PoseResult, "save", save_once)
    argv = ["pose", str(folder), "-m", joints, "--detector", "none", "-o", str(out)]
    assert cli.main(argv) == 130
    assert {p.name for p in out.iterdir()} == {"a_pose.png", "keypoints.json.part"}
    monkeypatch.undo()
    assert cli.main(argv) == 2
    assert cli.main([*argv, "--skip-existing", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["skipped"] == 1 and {p.name for p in out.iterdir()} == {"a_pose.png", "b_pose.png", "keypoints.json"}
    assert [e["image_id"] for e in json.loads((out / "keypoints.json").read_text())] == ["a", "b"]


@pytest.mark.parametrize("before", [["1.png"], ["1.png", "02.png"]], ids=["with the other", "after the other"])
def test_two_images_are_never_one_in_the_results(joints, tmp_path, capsys, before):
    """001 and 1 are the same number: the second would take the place of the first."""
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    argv = ["pose", str(given), "-m", joints, "--detector", "none", "-o", str(out), "--skip-existing"]
    for name in before:
        save_image(given / name, sample_image(32, 40))
    if len(before) > 1:
        assert cli.main(argv) == 0
        assert [e["image_id"] for e in json.loads((out / "keypoints.json").read_text())] == [2, 1]
        (given / "1.png").unlink()
    files = {p.name: p.read_bytes() for p in out.glob("*")}
    save_image(given / "001.png", sample_image(32, 40))
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "images 001 and 1 would both have the image id 1" in err
    assert {p.name: p.read_bytes() for p in out.glob("*")} == files


def test_threads_are_torchs(folder, weights, tmp_path):
    before = torch.get_num_threads()
    try:
        assert cli.main(["segment", str(folder / "a.png"), "-m", weights, "-o", str(tmp_path), "--threads", "1"]) == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_predictors_take_generators_and_batches(weights):
    from scalenet import Segmenter

    segmenter = Segmenter(weights, "cpu")
    images = np.stack([sample_image(32, 40)] * 2)
    assert len(segmenter(x for x in images)) == 2
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
    (a, b), c = segmenter(tensors), segmenter(tensors[0])
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_array_equal(a.mask, c.mask)


def test_the_default_network_is_said(folder, weights, tmp_path, capsys):
    argv = ["segment", str(folder / "a.png"), "-o", str(tmp_path / "out")]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out.startswith("network scalenet_s0, which knows streets; for people give")
    assert cli.main([*argv, "--overwrite", "-m", weights]) == 0
    assert "network scalenet_s0" not in capsys.readouterr().out
