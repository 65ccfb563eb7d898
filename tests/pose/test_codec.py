"""Heatmaps and back: round trips, the authors' targets, both decoders against plain references, the flip test."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.data.labels import COCO
from scalenet.pose.codec import HeatmapCodec, default_sigma

SIZES = [(256, 192), (384, 288), (66, 50)]


def people(codec: HeatmapCodec, n: int, margin: float, seed: int = 0) -> np.ndarray:
    """(n, 17, 3) visible joints at least ``margin`` heatmap pixels inside."""
    (h, w), m = codec.heatmap_size, margin
    xy = codec.to_input(np.random.default_rng(seed).uniform((m, m), (w - 1 - m, h - 1 - m), (n, 17, 2)))
    return np.concatenate([xy, np.ones((n, 17, 1))], 2)


@pytest.mark.parametrize("size", SIZES)
def test_aligned_dark_comes_back_within_half_an_input_pixel(size):
    codec = HeatmapCodec(size, sigma=1.5 if size[0] < 100 else 0.0, convention="aligned")
    joints = people(codec, 20, 2 + 2.5 * codec.sigma if size[0] > 100 else 5)
    found = codec.decode(codec.encode(joints)[0])
    assert np.abs(found - joints)[..., :2].max() < 0.5
    assert found[..., 2].min() > 0.7


@pytest.mark.parametrize("convention", ["authors", "aligned"])
@pytest.mark.parametrize("decode", ["quarter", "dark"])
def test_every_way_comes_back_within_half_a_heatmap_pixel(convention, decode):
    codec = HeatmapCodec((256, 192), convention=convention, decode_method=decode)
    joints = people(codec, 20, 7)
    error = np.abs(codec.decode(codec.encode(joints)[0]) - joints)[..., :2].max()
    assert error / 4 <= 0.505  # the authors' targets are rounded to whole heatmap pixels
    if convention == "aligned":
        assert error < (0.5 if decode == "dark" else 1.01)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(10, 37), y=st.floats(10, 53), sigma=st.sampled_from([2.0, 2.5, 3.0]))
def test_any_interior_point_comes_back(x, y, sigma):
    codec = HeatmapCodec((256, 192), sigma=sigma, convention="aligned")
    joint = np.array([[[*codec.to_input(np.array([x, y])), 1.0]]])
    assert np.abs(codec.decode(codec.encode(joint)[0]) - joint)[..., :2].max() < 0.5


def test_the_authors_target_by_hand():
    codec = HeatmapCodec((256, 192))
    heatmaps, weights = codec.encode(
        np.array([[18.0, 41.9, 2], [18, 41, 0], [-19, 100, 1], [-30, 100, 1], [192, 8, 1]])
    )
    assert codec.sigma == 2 and heatmaps.shape == (5, 64, 48) and heatmaps.dtype == np.float32
    assert weights.tolist() == [1, 0, 1, 0, 1]  # unlabelled, and beyond three sigma outside
    assert heatmaps[0, 10, 5] == 1 == heatmaps[0].max()  # 18 / 4 = 4.5 goes up, 41.9 / 4 = 10.475 down
    assert heatmaps[0, 10, 6] == pytest.approx(np.exp(-1 / 8)) and heatmaps[0, 10, 12] == 0 < heatmaps[0, 10, 11]
    assert not heatmaps[1].any() and not heatmaps[3].any()
    assert heatmaps[4, 2].argmax() == 47 and heatmaps[4].max() == pytest.approx(np.exp(-1 / 8))


def test_sigma_follows_the_paper():
    assert [default_sigma(s) for s in ((256, 192), (384, 288), (64, 48))] == [2, 3, 2]


def plain_quarter(heatmap: np.ndarray) -> tuple[float, float]:
    """One joint by the authors' rule, spelt out."""
    h, w = heatmap.shape
    y, x = divmod(int(heatmap.argmax()), w)
    fx, fy = float(x), float(y)
    if 1 < x < w - 1 and 1 < y < h - 1:
        fx += 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
        fy += 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return fx, fy


def plain_smooth(heatmap: np.ndarray, radius: int) -> np.ndarray:
    """The logarithm that DARK looks at, over the whole map."""
    padded = cv2.GaussianBlur(np.pad(heatmap, radius), (2 * radius + 1, 2 * radius + 1), 0)
    return np.log(np.maximum(padded[radius:-radius, radius:-radius], 1e-10)).astype(float)


def plain_dark(heatmap: np.ndarray, radius: int) -> tuple[float, float]:
    """One joint by DARK, spelt out: smooth the whole map, take logarithms, one Newton step."""
    h, w = heatmap.shape
    y, x = divmod(int(heatmap.argmax()), w)
    m = plain_smooth(heatmap, radius)
    if not (1 < x < w - 2 and 1 < y < h - 2):
        return x, y
    gradient = np.array([m[y, x + 1] - m[y, x - 1], m[y + 1, x] - m[y - 1, x]]) / 2
    xy = (m[y + 1, x + 1] - m[y - 1, x + 1] - m[y + 1, x - 1] + m[y - 1, x - 1]) / 4
    xx, yy = (m[y, x + 2] - 2 * m[y, x] + m[y, x - 2]) / 4, (m[y + 2, x] - 2 * m[y, x] + m[y - 2, x]) / 4
    hessian = np.array([[xx, xy], [xy, yy]])
    if np.linalg.det(hessian) <= 1e-12 or xx >= 0:
        return x, y
    step = -np.linalg.solve(hessian, gradient)
    return tuple(np.array([x, y]) + np.clip(step, -1, 1))


@pytest.mark.parametrize("decode", ["quarter", "dark"])
def test_decoding_equals_the_plain_rule_joint_by_joint(decode):
    codec = HeatmapCodec((96, 64), sigma=2, decode_method=decode)
    rng = np.random.default_rng(3)
    joints = np.concatenate([rng.uniform(-8, (72, 104), (6, 17, 2)), np.ones((6, 17, 1))], 2)
    heatmaps = np.abs(codec.encode(joints)[0] + rng.normal(0, 0.05, (6, 17, 24, 16)).astype(np.float32))
    found = codec.decode(heatmaps)
    rule = plain_quarter if decode == "quarter" else lambda m: plain_dark(m, 5)
    expected = np.array([[rule(m) for m in one] for one in heatmaps]) * 4
    np.testing.assert_allclose(found[..., :2], expected, atol=2e-3)
    np.testing.assert_array_equal(found[..., 2].astype(np.float32), heatmaps.max((2, 3)))


def test_dark_stays_at_the_highest_pixel_where_the_fit_has_no_maximum():
    heatmap = np.zeros((1, 2, 24, 24), np.float32)
    for row, (left, right) in enumerate([(4, 15), (3, 14)]):  # a spike in a valley between two hills
        heatmap[0, row, 8:17, 10] = 1.0
        heatmap[0, row, 8:17, left : left + 4] = heatmap[0, row, 8:17, right - 2 : right + 2] = 0.98
    heatmap[0, :, 12, 10] = 1.01
    codec = HeatmapCodec((96, 96), sigma=1.0)
    smooth = np.array([plain_smooth(m, 3) for m in heatmap[0]])
    middle = smooth[:, 12, 10]
    assert (smooth[:, 12, 8] + smooth[:, 12, 12] > 2 * middle).all() and (smooth[:, 12, 9] != smooth[:, 12, 11]).any()
    np.testing.assert_array_equal(codec.decode(heatmap)[0, :, :2], [[40, 48]] * 2)


@pytest.mark.parametrize("convention", ["authors", "aligned"])
def test_mirrored_heatmaps_fall_on_the_plain_ones(convention):
    codec = HeatmapCodec((256, 192), convention=convention)
    order = COCO.flip_order()
    joints = people(codec, 9, 8, seed=5)
    joints[..., 0] = np.round(joints[..., 0] / 4) * 4  # where the authors round nothing
    mirrored = joints.copy()
    mirrored[..., 0] = 191 - mirrored[..., 0]
    plain, turned = codec.encode(joints)[0], codec.encode(mirrored[:, order])[0]
    merged = codec.merge_flip(plain, turned, order)
    np.testing.assert_allclose(merged[..., 1:], plain[..., 1:], atol=1e-6)
    np.testing.assert_array_equal(codec.decode(plain, turned, order), codec.decode(merged))


def test_nobody_and_one_person():
    codec = HeatmapCodec((64, 48))
    assert codec.decode(np.zeros((0, 17, 16, 12))).shape == (0, 17, 3)
    assert codec.decode(np.zeros((0, 17, 16, 12)), np.zeros((0, 17, 16, 12)), range(17)).shape == (0, 17, 3)
    heatmaps, weights = codec.encode(np.ones((17, 3)))
    assert heatmaps.shape == (17, 16, 12) and weights.shape == (17,)


def test_odd_sizes_and_wrong_words():
    assert HeatmapCodec((65, 50)).heatmap_size == (17, 13)
    with pytest.raises(ValueError, match="convention must be one of authors, aligned"):
        HeatmapCodec((64, 48), convention="udp")
    with pytest.raises(ValueError, match="decode must be one of oks, dark, quarter"):
        HeatmapCodec((64, 48), decode_method="argmax")


def test_the_oks_decoder_finds_gaussians_and_prefers_the_safer_of_two_peaks():
    codec = HeatmapCodec((256, 192), convention="aligned", decode_method="oks", sigmas=COCO.sigmas)
    rng = np.random.default_rng(5)
    joints = np.concatenate([rng.uniform(20, (172, 236), (8, 17, 2)), np.ones((8, 17, 1))], 2)
    found, sure = codec.decode_sure(codec.encode(joints)[0])
    assert np.abs(found[..., :2] - joints[..., :2]).max() < 1.0
    assert ((sure > 0.3) & (sure <= 1.0)).all() and (sure[:, 11] > sure[:, 0]).all()  # hips are measured less strictly
    hips = np.zeros((1, 17, 64, 48), np.float32)  # one spike, and a broad hill that is a little lower
    rows, columns = np.mgrid[:64, :48]
    hips[0, :] = 0.9 * np.exp(-((rows - 40) ** 2 + (columns - 30) ** 2) / 50)
    hips[0, :, 10, 10] = 1.0
    place = codec.to_heatmap(codec.decode(hips)[0, 11, :2])
    assert np.abs(place - [30, 40]).max() < 1 and codec.decode(hips)[0, 11, 2] == 1.0
    dark = HeatmapCodec((256, 192), convention="aligned").decode(hips)[0, 11, :2]
    assert np.abs(codec.to_heatmap(dark) - [10, 10]).max() <= 1
    with pytest.raises(ValueError, match="needs the sigmas"):
        HeatmapCodec((256, 192), decode_method="oks")


@given(st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None, max_examples=20)
def test_the_oks_decoder_stays_inside_maps_of_any_size(height, width):
    codec = HeatmapCodec((height * 4, width * 4), decode_method="oks", sigmas=(0.05, 0.1))
    heatmaps = np.random.default_rng(height * 10 + width).normal(0, 1, (3, 2, height, width))
    xy = codec.to_heatmap(codec.decode(heatmaps)[..., :2])
    assert np.isfinite(xy).all() and (xy >= 0).all() and (xy <= np.array([width, height]) - 1).all()
    assert codec.decode(heatmaps[:0]).shape == (0, 2, 3)
