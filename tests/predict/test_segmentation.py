"""The segmenter against the bare network, its options against what they promise."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import scalenet
from scalenet import BottomUpPoseEstimator, PoseEstimator, Segmenter
from scalenet.data.images import pad_to_multiple, to_input
from scalenet.data.labels import CAMVID, COCO, CROWDPOSE
from scalenet.engines.front import Front
from scalenet.predict import segmentation
from scalenet.predict.visualization import overlay, with_legend

from ..small_fronts import write_small_front
from ..small_networks import sample_image, small_network, write

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network()


@torch.inference_mode()
def bare(net, image: np.ndarray) -> np.ndarray:
    """What the network says of an image mirrored to multiples of 4, then 32, on the first's pixels."""
    fours = pad_to_multiple(image, 4)
    x = to_input(pad_to_multiple(fours, 32)[None].copy(), CPU)
    logits = net.forward_head(net.forward_features(x))[..., : fours.shape[0] // 4, : fours.shape[1] // 4]
    mask = F.interpolate(logits, fours.shape[:2], mode="bilinear")[0].argmax(0).numpy()
    return mask[: image.shape[0], : image.shape[1]]


def test_a_image_of_whole_cells_is_the_networks_own_business(net):
    image = sample_image(64, 64)
    np.testing.assert_array_equal(Segmenter(net)(image).mask, net(to_input(image[None], CPU))[0].argmax(0).numpy())


@pytest.mark.parametrize("size", [(40, 72), (33, 50), (1, 1)])
def test_images_are_mirrored_to_whole_cells(size):
    image = sample_image(*size)
    for multiple in (4, 32):
        padded = pad_to_multiple(image, multiple)
        mirrored = np.pad(image, [(0, -n % multiple) for n in size] + [(0, 0)], mode="symmetric")
        np.testing.assert_array_equal(padded, mirrored)
    assert pad_to_multiple(padded, 32) is padded


@pytest.mark.parametrize("size", [(64, 80), (80, 64), (33, 50), (1, 1), (5, 900)])
def test_images_up_to_the_input_size_are_taken_as_they_are(net, size):
    image = sample_image(*size)
    result = Segmenter(net)(image)
    assert result.mask.dtype == np.uint8
    np.testing.assert_array_equal(result.mask, bare(net, image))


def test_large_images_are_reduced_and_the_mask_is_in_their_own_pixels(net):
    image = sample_image(213, 320)
    segmenter = Segmenter(net)
    assert segmenter._fit(image)[0].shape == (60, 88, 3), "64 * 80 pixels, the aspect kept, whole logits"
    reduced, full = segmenter(image).mask, Segmenter(net, resize=False)(image).mask
    assert reduced.shape == full.shape == (213, 320)
    np.testing.assert_array_equal(full, bare(net, image))
    assert (reduced != full).any()


def test_lists_keep_their_order_and_batches_change_nothing(net):
    images = [
        sample_image(64, 80),
        sample_image(64, 80)[:, ::-1].copy(),
        sample_image(40, 50),
        sample_image(64, 80),
        sample_image(213, 320),
    ]
    alone = [Segmenter(net)(image) for image in images]
    together = Segmenter(net, batch_size=3)(images)
    assert isinstance(together, list) and Segmenter(net)([]) == []
    for a, b in zip(alone, together, strict=True):
        assert (a.mask == b.mask).mean() > 0.999 and a.mask.shape == b.mask.shape


def test_the_index_of_the_largest_is_that_of_argmax():
    maps = torch.randn(256, 7, 9).round()  # many are equal
    assert segmentation.index_mask(maps, (7, 9)).tolist() == maps.numpy().argmax(0).tolist()
    assert segmentation.index_mask(maps[:1], (7, 9)).tolist() == [[0] * 9] * 7


class Blocks(torch.nn.Module):
    """Stands in for a network: logits that depend on their own 4x4 pixels only."""

    def forward(self, x):
        pad = (0, -x.shape[3] % 4, 0, -x.shape[2] % 4)
        return (F.avg_pool2d(F.pad(x.float(), pad, mode="replicate"), 4).repeat(1, 4, 1, 1)[:, : len(CAMVID.names)],)


@pytest.mark.parametrize("size", [(64, 96), (101, 203), (40, 30)])
@pytest.mark.parametrize("window, overlap", [((32, 48), 0.25), ((32, 32), 0.0), ((36, 40), 0.8), ((300, 300), 0.5)])
def test_windows_blend_into_what_one_look_gives(net, size, window, overlap):
    image = sample_image(*size)[None]
    whole, windows = Segmenter(net, resize=False), Segmenter(net, window=window, overlap=overlap)
    whole.engine = windows.engine = Blocks()
    torch.testing.assert_close(windows.logits(image), whole.logits(image), rtol=1e-4, atol=1e-4)


class Numbers(torch.nn.Module):
    """Stands in for a network: every look gives its own number everywhere, 0, 1, 2 …"""

    def __init__(self):
        super().__init__()
        self.looks = 0

    def forward(self, x):
        self.looks += 1
        return (torch.full((1, len(CAMVID.names), -(-x.shape[2] // 4), -(-x.shape[3] // 4)), self.looks - 1.0),)


def test_a_window_counts_most_in_its_middle(net):
    segmenter = Segmenter(net, window=(32, 32), overlap=0.25)
    segmenter.engine = Numbers()
    logits = segmenter.logits(sample_image(32, 56)[None])[0, 0]
    assert segmenter.engine.looks == 2
    row = [0] * 6 + [0.25, 0.75] + [1] * 6  # two shared columns: 3/8 of the one against 1/8 of the other, and back
    torch.testing.assert_close(logits, torch.tensor([row] * 8, dtype=torch.float32))


def test_window_starts_by_hand():
    assert segmentation.window_starts(100, 40, 0.25) == [0, 28, 56, 60]
    assert segmentation.window_starts(100, 40, 0.0) == [0, 40, 60]
    assert segmentation.window_starts(100, 40, 0.9) == [*range(0, 60, 4), 60]
    assert segmentation.window_starts(41, 40, 0.5) == [0, 4] and segmentation.window_starts(40, 40, 0.5) == [0]


def test_windows_look_at_the_image_as_it_is(net):
    image = sample_image(120, 150)
    np.testing.assert_array_equal(Segmenter(net, window=(120, 150))(image).mask, bare(net, image))
    assert Segmenter(net, window=(64, 80))(image).mask.shape == (120, 150)


@given(length=st.integers(1, 3000), window=st.integers(32, 800), overlap=st.floats(0, 0.95))
def test_windows_cover_every_pixel(length, window, overlap):
    starts = segmentation.window_starts(length, window, overlap)
    assert starts[0] == 0 and all(s % 4 == 0 and s < length for s in starts)
    assert starts[-1] + window >= length
    assert all(0 < b - a <= window for a, b in pairwise(starts))


def test_flip_makes_left_and_right_equal(net):
    image = sample_image(64, 80)
    segmenter = Segmenter(net, flip=True)
    left, right = segmenter(image).mask, segmenter(image[:, ::-1].copy()).mask[:, ::-1]
    assert (left == right).mean() > 0.999
    assert (left != Segmenter(net)(image).mask).any()


def test_scales_are_averaged(net):
    image = sample_image(64, 80)
    once, thrice = Segmenter(net), Segmenter(net, scales=(1.0, 0.5, 1.5))
    parts = [
        F.interpolate(Segmenter(net, scales=(s,)).logits(image[None]), size=(16, 20), mode="bilinear")
        for s in (1.0, 0.5, 1.5)
    ]
    torch.testing.assert_close(thrice.logits(image[None]), sum(parts) / 3)
    torch.testing.assert_close(Segmenter(net, scales=(1.0, 1.0)).logits(image[None]), once.logits(image[None]))


@pytest.mark.parametrize("size", [(120, 150), (7, 9), (13, 17)])
def test_masks_by_class_and_by_bands_are_the_upsampled_argmax(monkeypatch, size):
    logits = torch.randn(5, 13, 17)
    whole = F.interpolate(logits[None], size=size, mode="bilinear")[0].argmax(0).numpy()
    monkeypatch.setattr(segmentation, "BAND_VALUES", 5 * 150 * 7)
    assert (segmentation.index_mask(logits, size) == whole).mean() > 0.9995
    assert (segmentation._by_bands(logits, size) == whole).mean() > 0.9995


def test_strength_and_least_share(net):
    image = sample_image(64, 80)
    result = Segmenter(net)(image)
    np.testing.assert_array_equal(result.draw(image, legend=False, strength=0), image)
    colours = np.array(result.labels.colours)[result.mask]
    full = result.draw(image, legend=False, strength=1)
    inside = (full != 255).any(-1)
    np.testing.assert_array_equal(full[inside], colours[inside])
    middle = float(np.median(result.shares[result.shares > 0]))
    kept = result.found(middle)
    assert 0 < len(kept) < len(result.found()) and min(kept.values()) >= middle
    left = np.isin(result.mask, [i for i, name in enumerate(result.classes) if name not in kept])
    drawn = result.draw(image, legend=False, at_least=middle)
    np.testing.assert_array_equal(drawn[left], image[left])
    assert (drawn[~left] != image[~left]).any()


def test_result_counts_and_draws(net):
    image = sample_image(64, 80)
    result = Segmenter(net)(image)
    assert result.classes == CAMVID.names and result.shares.sum() == pytest.approx(1)
    found = result.found()
    assert list(found.values()) == sorted(found.values(), reverse=True) and len(found) > 1
    assert found == {result.classes[i]: (result.mask == i).mean() for i in np.unique(result.mask)}
    assert json.loads(json.dumps(result.to_dict()))["size"] == [64, 80]
    drawn, plain = result.draw(image), result.draw(image, legend=False)
    assert plain.shape == image.shape and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:64, :80], plain)
    assert drawn.shape[0] > 64
    strip = drawn[64:].reshape(-1, 3)
    for name in found:
        colour = CAMVID.colours[CAMVID.names.index(name)]
        assert (strip == colour).all(1).any(), f"the legend lacks {name}"
    with pytest.raises(ValueError, match="the image it was made from"):
        result.draw(image[1:])


def test_overlay_shows_each_class_in_its_colour():
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 1
    canvas = overlay(np.full((8, 8, 3), 100, np.uint8), mask, [(200, 0, 0), (0, 200, 0)], strength=0.5)
    assert canvas[0, 0].tolist() == [150, 50, 50] and canvas[0, 7].tolist() == [50, 150, 50]
    assert canvas[0, 3].tolist() == [255, 255, 255]
    assert with_legend(canvas[:1, :1], [("a class with a long name", (1, 2, 3))]).shape[1] > 100
    assert overlay(canvas[:1, :1], mask[:1, :1], [(200, 0, 0), (0, 200, 0)]).shape == (1, 1, 3)


def test_networks_loaded_by_name_are_folded_and_say_the_same(net, tmp_path):
    path = write(net, tmp_path / "net.safetensors")
    segmenter = Segmenter(str(path), device="cpu")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in segmenter.model.modules())
    image = sample_image(64, 80)
    assert (segmenter(image).mask == bare(net, image)).mean() > 0.999
    before = set(net.state_dict())
    Segmenter(net)(image)
    assert set(net.state_dict()) == before, "a caller's network stays as it is"


@pytest.mark.parametrize(
    "options, says",
    [
        ({"batch_size": 0}, "batch_size"),
        ({"scales": ()}, "scales"),
        ({"scales": (1, float("nan"))}, "scales"),
        ({"window": (8, 64)}, "window"),
        ({"overlap": 1.0}, "overlap"),
        ({"device": "warp"}, "device"),
    ],
)
def test_options_out_of_range(net, options, says):
    with pytest.raises(ValueError, match=says):
        Segmenter(net, **options)


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="segmentation network"):
        Segmenter(small_network("pose", COCO))
    with pytest.raises(TypeError, match="Conv2d"):
        Segmenter(torch.nn.Conv2d(3, 3, 1))
    with pytest.raises(LookupError, match="did you mean scalenet_s0"):
        Segmenter("scalenet_s00")
    assert scalenet.Segmenter is Segmenter


@pytest.mark.parametrize("batch_size", [1, 2])
def test_no_image_is_taken_before_it_is_needed(net, batch_size):
    taken = []

    def images():
        for i in range(5):
            taken.append(i)
            yield sample_image(64, 64)

    next(Segmenter(net, batch_size=batch_size).stream(images()))
    assert len(taken) == (1 if batch_size == 1 else 4), "with batches, the next one is prepared meanwhile"


def test_a_callers_network_stays_as_it_was(net):
    Segmenter(net, device="cpu")(sample_image(64, 80))
    assert all(p.is_contiguous() for p in net.parameters()) and net.conv1.weight.requires_grad


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_wrapped_networks_predict(net, wrap):
    image = sample_image(64, 80)
    np.testing.assert_array_equal(Segmenter(wrap(net), device="cpu")(image).mask, Segmenter(net)(image).mask)


@pytest.mark.parametrize("task", ["segmentation", "pose", "bottomup"])
def test_networks_in_half_precision_predict(task):
    kind = {"segmentation": Segmenter, "pose": PoseEstimator, "bottomup": BottomUpPoseEstimator}[task]
    half = small_network(task, CAMVID if task == "segmentation" else CROWDPOSE).bfloat16()
    result = kind(half, device="cpu")(sample_image(64, 80))
    assert half.conv1.weight.dtype == torch.bfloat16
    assert result.mask.shape == (64, 80) if task == "segmentation" else np.isfinite(result.keypoints).all()


def test_a_budget_picks_from_a_front(tmp_path, monkeypatch):
    front = Front(write_small_front(tmp_path / "toys.safetensors"))
    small = front.members[0]
    assert Segmenter(front.path, max_macs=small.macs).trained_size == small.arch.input_size
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("scalenet.engines.latency.network_ms", lambda model, *_: model.cost().macs / 1e6)
    middle = front.members[3]
    picked = Segmenter(front.path, "cpu", max_latency_ms=f"{middle.macs / 1e6 + 1e-9}ms")
    assert picked.model.arch == middle.arch
    with pytest.raises(ValueError, match=r"a top-down pose network is needed, .* is a front for segmentation"):
        scalenet.PoseEstimator(front.path, max_macs="1G")
    with pytest.raises(ValueError, match="needs the name or file of a front, not a network"):
        Segmenter(small_network(), max_macs="1G")
    with pytest.raises(ValueError, match="the smallest needs max_macs"):
        Segmenter(front.path, max_macs=9)


def test_labels_upsampled_are_the_nearest_logits_classes():
    logits = torch.randn(5, 12, 20, generator=torch.Generator().manual_seed(0))
    mask = segmentation.index_mask(logits, (48, 80), "labels")
    np.testing.assert_array_equal(mask, logits.argmax(0).numpy().repeat(4, 0).repeat(4, 1))
    net, image = small_network(), sample_image(64, 80)
    fine, coarse = (Segmenter(net, "cpu", upsample=how)(image).mask for how in ("logits", "labels"))
    assert fine.shape == coarse.shape and 0.5 < (fine == coarse).mean() < 1
    with pytest.raises(ValueError, match="upsample must be one of logits, labels, got 'nearest'"):
        Segmenter(net, "cpu", upsample="nearest")
