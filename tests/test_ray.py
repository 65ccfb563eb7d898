"""Images through Ray Data: the results of a predictor, one bad file named, a killed run gone on with."""

import json

import cv2
import numpy as np
import pytest

import scalenet
from scalenet.data.labels import COCO

from .small_data import camvid_form
from .small_networks import small_network, write
from .small_ray import two_cores


@pytest.fixture(scope="module")
def ray():
    with two_cores() as ray:
        yield ray


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images, one of them cut off, and two networks."""
    root = tmp_path_factory.mktemp("ray")
    images = sorted((camvid_form(root / "data", 4, 1) / "images" / "train").iterdir())
    (root / "data/images/train/broken.jpg").write_bytes(images[0].read_bytes()[:300])
    write(small_network(), root / "segment.safetensors")
    write(small_network("pose", COCO, (64, 48)), root / "pose.safetensors")
    return root


def decoded(row):
    return cv2.imdecode(np.frombuffer(row["mask"], np.uint8), cv2.IMREAD_UNCHANGED)


def test_masks_are_a_segmenters_and_the_folder_is_gone_on_with(ray, folder, tmp_path, capsys):
    from scalenet.ray.__main__ import main

    out, images = tmp_path / "out", str(folder / "data/images/train")
    model = str(folder / "segment.safetensors")
    command = ["-m", model, "-o", str(out), "--batch-size", "2"]
    first = sorted(str(p) for p in (folder / "data/images/train").glob("p[01].jpg"))
    assert main([*first, *command]) == 0
    assert json.loads(capsys.readouterr().out) == {"images": 2, "failed": [], "out": str(out)}
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert main([images, *command, "--actors", "2"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["images"] == 5 and [row["path"].rsplit("/")[-1] for row in said["failed"]] == ["broken.jpg"]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "what is there is not done again"
    segmenter = scalenet.Segmenter(model, device="cpu")
    rows = {row["path"]: row for row in ray.data.read_parquet(str(out), file_extensions=["parquet"]).take_all()}
    for path in sorted((folder / "data/images/train").glob("p*.jpg")):
        expected, row = segmenter(path), rows[str(path)]
        assert (row["height"], row["width"], row["error"]) == (*expected.mask.shape, "")
        assert (decoded(row) == expected.mask).mean() > 0.999
        assert row["shares"] == pytest.approx(expected.shares.tolist(), abs=1e-3)
    assert main([images, "-m", str(folder / "pose.safetensors"), "-o", str(out)]) == 2
    assert "name another out" in capsys.readouterr().err


def test_a_dataset_of_pixels_and_options_of_the_predictor(ray, folder):
    from scalenet.ray import predict

    pixels = np.stack([cv2.imread(str(p)) for p in sorted((folder / "data/images/train").glob("p*.jpg"))])[..., ::-1]
    rows = predict(
        ray.data.from_items([{"image": image} for image in pixels]), folder / "pose.safetensors", batch_size=2,
        detector=None, flip=False,
    ).take_all()  # fmt: skip
    estimator = scalenet.PoseEstimator(folder / "pose.safetensors", device="cpu", detector=None, flip=False)
    expected = [estimator(image).keypoints for image in pixels]
    found = [np.array(row["keypoints"], np.float32) for row in rows]
    assert len(found) == 4 and all(f.shape == (1, 17, 3) for f in found)
    for one in expected:
        assert any(np.allclose(one, f, atol=1e-2) for f in found)
    with pytest.raises(TypeError, match="flipp"):
        predict(["a.jpg"], folder / "pose.safetensors", flipp=True)
    with pytest.raises(ValueError, match=r"no column image, bytes, path, but x"):
        predict(ray.data.from_items([{"x": 1}]), folder / "pose.safetensors")


def test_bad_input_is_one_line(folder, tmp_path, capsys):
    pytest.importorskip("ray")
    from scalenet.ray.__main__ import main

    model = str(folder / "segment.safetensors")
    for argv, words in (
        ([str(tmp_path), "-m", model, "-o", str(tmp_path / "o")], "no image in the folder"),
        (["a.jpg", "-m", "scalenet_s9", "-o", str(tmp_path / "o")], "scalenet_s9"),
        (["a.jpg", "-m", model, "-o", str(tmp_path / "o"), "--address", "127.0.0.1:1"], "no Ray cluster answers"),
    ):  # fmt: skip
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1
