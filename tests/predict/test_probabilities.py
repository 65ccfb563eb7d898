"""Probabilities of all classes: what they are, that they are bounded, and their files."""

import numpy as np
import pytest
import torch

from scalenet import Segmenter
from scalenet.data.images import save_image
from scalenet.predict import probabilities as module
from scalenet.predict.confidence import Calibration
from scalenet.predict.probabilities import probabilities_of, save_probabilities

from ..commands.test_cli import as_json, fails
from ..small_networks import sample_image, small_network, write


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network()


@pytest.mark.parametrize("size", [(64, 80), (61, 75), (200, 120)])
def test_the_greatest_is_the_masks_class(net, size):
    segmenter, image = Segmenter(net, "cpu", probabilities=True), sample_image(*size)
    segmenter.calibration = Calibration(2.0)
    result = segmenter(image)
    found = result.probabilities
    assert found.shape == (11, *size) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(0), result.mask)
    if size == (64, 80):  # as the network sees it; stride 4, so that its cells' middles lie between pixels
        logits = segmenter.logits(image[None]) / 2
        full = torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        np.testing.assert_allclose(found, full.softmax(1)[0].numpy(), atol=1e-4)


def test_they_are_kept_only_where_asked_for_and_bounded(net, monkeypatch):
    image = sample_image(64, 80)
    with pytest.raises(ValueError, match="probabilities=True"):
        _ = Segmenter(net, "cpu")(image).probabilities
    result = Segmenter(net, "cpu", probabilities=True)(image)
    monkeypatch.setattr(module, "MAX_VALUES", 11 * 64 * 80 - 1)
    with pytest.raises(ValueError, match="11 classes in 64x80 pixels would take more than 2 GiB"):
        _ = result.probabilities


def test_large_logits_do_not_overflow():
    found = probabilities_of(np.full((2, 1, 1), 1e4, np.float32) * [[[1]], [[-1]]], (4, 4), (3, 4))
    np.testing.assert_array_equal(found[:, 0, 0], [1, 0])


def test_a_file_holds_them_and_the_names(tmp_path):
    values = np.random.default_rng(0).random((2, 3, 4), np.float32)
    path = save_probabilities(tmp_path / "new" / "a.npz", values, ("sky", "road"))
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["probabilities"], values)
        assert file["classes"].tolist() == ["sky", "road"]
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]
    with pytest.raises(ValueError, match="npz"):
        save_probabilities(tmp_path / "a.npy", values, ("sky", "road"))


def test_the_command_writes_them(net, capsys, tmp_path):
    weights, image = write(net, tmp_path / "net.safetensors"), tmp_path / "street.png"
    save_image(image, sample_image(61, 75))
    out = tmp_path / "out"
    (row,) = as_json(capsys, "segment", image, "-m", weights, "--probabilities", "-o", out, "--device", "cpu")["images"]
    assert row["probabilities"] == str(out / "street_probabilities.npz")
    with np.load(row["probabilities"]) as file:
        np.testing.assert_array_equal(
            file["probabilities"], Segmenter(str(weights), "cpu", probabilities=True)(image).probabilities
        )
        assert file["classes"].tolist() == row["classes"]
    again = ("segment", image, "-m", weights, "--probabilities", "-o", out)
    (out / "street_overlay.png").unlink(), (out / "street_mask.png").unlink()
    assert "street_probabilities.npz already exists" in fails(capsys, *again)
    assert "--masks is for the frames of a video" in fails(capsys, *again, "--overwrite", "--masks", tmp_path / "m")
