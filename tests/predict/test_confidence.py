"""A mask says has no confidence, marks what it is not sure of, and notes an image unlike what was learned."""

import json

import cv2
import numpy as np
import pytest
import torch

import scalenet
from scalenet import Segmenter, cli
from scalenet.data.images import save_image
from scalenet.data.labels import CAMVID, Labels
from scalenet.predict import confidence as module
from scalenet.predict.confidence import UNKNOWN, Calibration
from scalenet.predict.results import SegmentationResult

from ..small_networks import sample_image, small_network, write


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network()


@pytest.mark.parametrize("size", [(64, 80), (61, 75), (200, 120)])
def test_confidence_is_the_probability_of_the_class(net, size):
    image = sample_image(*size)
    segmenter = Segmenter(net, "cpu")
    result = segmenter(image)
    assert result.confidence.shape == size and result.confidence.dtype == np.float32
    assert result.confidence.min() >= 1 / 11 and result.confidence.max() <= 1
    assert result.to_dict()["confidence"] == pytest.approx(result.confidence.mean(), abs=0.02)
    if size == (64, 80):  # as the network sees it, nothing is resized on the way in
        logits = segmenter.logits(image[None])[0]
        np.testing.assert_allclose(result.sure, logits.softmax(0).amax(0).numpy(), atol=1e-6)


def test_a_temperature_makes_less_sure_and_changes_no_class(net):
    segmenter, image = Segmenter(net, "cpu"), sample_image(64, 80)
    plain = segmenter(image)
    segmenter.calibration = Calibration(3.0)
    softer = segmenter(image)
    np.testing.assert_array_equal(plain.mask, softer.mask)
    assert softer.mean_confidence < plain.mean_confidence


def test_unsure_pixels_are_marked_and_stay_uncoloured(net):
    image = sample_image(64, 80)
    plain = Segmenter(net, "cpu")(image)
    least = float(np.median(plain.confidence))
    result = Segmenter(net, "cpu", min_confidence=least)(image)
    marked = plain.confidence < least
    np.testing.assert_array_equal(result.mask, np.where(marked, UNKNOWN, plain.mask))
    assert result.unknown == pytest.approx(marked.mean()) and len(result.shares) == 11
    assert result.shares.sum() + result.unknown == pytest.approx(1) and plain.unknown == 0
    assert result.to_dict()["unknown"] == pytest.approx(marked.mean(), abs=1e-5) and "unknown" not in plain.to_dict()
    drawn = result.draw(image, legend=False)
    np.testing.assert_array_equal(drawn[marked], image[marked])
    assert (drawn[~marked] != image[~marked]).any()


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="min_confidence must be from 0 to 1, got 2"):
        Segmenter(small_network(), "cpu", min_confidence=2)
    with pytest.raises(ValueError, match="a class of this network's 256"):
        Segmenter(small_network(labels=Labels.plain(256)), "cpu", min_confidence=0.5)
    with pytest.raises(ValueError, match="has no confidence"):
        _ = SegmentationResult(np.zeros((2, 2), np.uint8), CAMVID).confidence


def test_the_published_network_notes_what_it_never_saw():
    segmenter = Segmenter("scalenet_s0", "cpu")
    assert segmenter.calibration is module.KNOWN["scalenet_s0.camvid"] and segmenter.calibration.temperature != 1
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    result = segmenter(noise)
    assert result.mean_confidence < segmenter.calibration.unlike_below
    assert result.note == result.to_dict()["note"] and result.note.startswith("unlike CamVid's streets")
    assert segmenter.calibration.note(0.999) == ""
    changed = scalenet.create_model("scalenet_s0", pretrained=True)
    with torch.no_grad():
        changed.bn1.bias.add_(1)
    assert Segmenter(changed, "cpu").calibration == Calibration(), "other weights, nothing is known of them"


def test_the_command_marks_what_is_unknown(net, tmp_path, capsys):
    file = str(write(net, tmp_path / "tiny.safetensors"))
    save_image(tmp_path / "a.png", sample_image(64, 80))
    argv = ["segment", str(tmp_path / "a.png"), "-m", file, "-o", str(tmp_path / "out")]
    assert cli.main([*argv, "--min-confidence", "1"]) == 0
    assert "100.0%  unknown (below --min-confidence)" in capsys.readouterr().out
    assert (cv2.imread(str(tmp_path / "out" / "a_mask.png"), 0) == UNKNOWN).all()
    assert cli.main([*argv, "--min-confidence", "1", "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["unknown"] == 1
    assert cli.main([*argv, "--min-confidence", "7", "--overwrite"]) == 2
