"""What all predictors share, and what all results can do."""

import inspect
import json

import cv2
import numpy as np
import pytest
import torch

import scalenet
from scalenet.archs.tasks import TASKS
from scalenet.data.images import ImageError
from scalenet.data.labels import CAMVID, COCO, Labels
from scalenet.nn.fuse import fold
from scalenet.predict.base import OutputError, Predictor
from scalenet.predict.results import Result

from ..small_networks import sample_image, small_network, write

PREDICTORS = {spec.name: getattr(scalenet, spec.predictor) for spec in TASKS.values()}
ALONE = {"pose": {"detector": None}}  # nobody looks for people


def network(task: str) -> scalenet.ScaleNet:
    torch.manual_seed(0)
    return small_network(task, COCO if TASKS[task].people else CAMVID)


def answers(result: Result) -> list[np.ndarray]:
    return [v for v in vars(result).values() if isinstance(v, np.ndarray)]


@pytest.mark.parametrize("task", PREDICTORS)
def test_the_first_arguments_are_the_same_and_all_others_have_names(task):
    predictor = PREDICTORS[task]
    parameters = inspect.signature(predictor).parameters.values()
    first = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert first == ["name_or_model", "device", "batch_size"] and "flip" in [p.name for p in parameters]
    assert issubclass(predictor, Predictor) and predictor.spec is TASKS[task]
    with pytest.raises(TypeError, match="positional"):
        predictor(network(task), "cpu", 1, True)


@pytest.mark.parametrize("task", PREDICTORS)
def test_a_network_that_is_handed_over_runs_as_one_that_is_named(task, tmp_path):
    net, options = network(task), ALONE.get(task, {})
    named = PREDICTORS[task](write(net, tmp_path / "net.safetensors"), "cpu", **options)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    given = PREDICTORS[task](net, "cpu", **options)
    assert not [m for m in given.model.modules() if isinstance(m, torch.nn.BatchNorm2d)] and given.model is not net
    expected = answers(named(sample_image(64, 80)))
    with torch.no_grad():
        net.conv1.weight.zero_()  # what becomes of it later is its own business
    for a, b in zip(answers(given(sample_image(64, 80))), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert before.keys() == net.state_dict().keys() and net.conv1.weight.requires_grad


def test_half_precision_is_folded_in_float32():
    net = network("segmentation").bfloat16()
    wide = fold(network("segmentation").bfloat16().float()).state_dict()
    for name, value in fold(net).state_dict().items():
        assert value.dtype == torch.bfloat16
        torch.testing.assert_close(value, wide[name].bfloat16(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "dtype, cause", [(torch.float32, "weights"), (torch.bfloat16, "bfloat16 overflowed: run it in")]
)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_logits_that_are_no_numbers_are_told(dtype, cause, batch_size):
    net = network("segmentation").to(dtype)
    with torch.no_grad():
        net.last_layer[3].weight[4] = float("nan")
    with pytest.raises(OutputError, match=f"NaN or infinity: .*{cause}"):
        scalenet.Segmenter(net, "cpu", batch_size)(sample_image(64, 80))


def test_half_precision_that_overflows_is_told():
    net = network("segmentation")
    with torch.no_grad():
        net.last_layer[3].weight.mul_(1e5)
    assert scalenet.Segmenter(net, "cpu")(sample_image(64, 80)).shares.max() < 1
    with pytest.raises(OutputError, match=r"float16 overflowed: run it in float32, as model\.float\(\)"):
        scalenet.Segmenter(net.half(), "cpu")(sample_image(64, 80))


def test_infinity_is_told_and_large_numbers_are_not():
    net = network("segmentation")
    with torch.no_grad():
        net.last_layer[3].bias[0] = 1e38  # whose sum is infinite
        assert scalenet.Segmenter(net, "cpu")(sample_image(64, 80)).shares[0] == 1
        net.last_layer[3].bias[0] = -float("inf")
    with pytest.raises(OutputError, match="NaN or infinity: its weights"):
        scalenet.Segmenter(net, "cpu")(sample_image(64, 80))


def test_one_class_alone_is_refused():
    net = small_network("segmentation", Labels.plain(1))
    with pytest.raises(ValueError, match="2 to 256 classes, got 1; one class and its background are two"):
        scalenet.Segmenter(net, "cpu")
    with pytest.raises(ValueError, match=r"2 to 256 classes, got 257$"):
        scalenet.Segmenter(small_network("segmentation", Labels.plain(257)), "cpu")


@pytest.mark.parametrize("task", PREDICTORS)
def test_results_save_themselves(task, tmp_path):
    image = sample_image(64, 80)
    result = PREDICTORS[task](network(task), "cpu", **ALONE.get(task, {}))(image)
    assert isinstance(result, Result)
    values = result.save(tmp_path / "new" / "result.json")
    assert json.loads(values.read_text()) == json.loads(json.dumps(result.to_dict()))
    drawn = result.save(tmp_path / "drawn.png", image)
    np.testing.assert_array_equal(cv2.imread(str(drawn))[..., ::-1], result.draw(image))
    if TASKS[task].people:
        drawn = result.save(tmp_path / "known.png")
        np.testing.assert_array_equal(cv2.imread(str(drawn))[..., ::-1], result.draw(image))
    else:
        mask = result.save(tmp_path / "mask.png")
        np.testing.assert_array_equal(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED), result.mask)
        with pytest.raises(ValueError, match=r"a mask is kept in a \.png file"):
            result.save(tmp_path / "mask.jpg")
    with pytest.raises(ImageError, match=r"written as \.wrong: use \.png"):
        result.save(tmp_path / "drawn.wrong", image)
