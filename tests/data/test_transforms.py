"""Boxes to crops and back; what is no box; very large images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.data.transforms import BoxError, check_boxes, crop, crop_matrices, crop_regions, invert, transform

SIZE = (64, 48)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"got shape \(1, 3\)"),
        ([1, 2, 3, 4], r"got shape \(4,\)"),
        ([[0, 0, 5, 5], [0, 0, float("nan"), 5]], "box 1 is not finite: 0, 0, nan, 5"),
        ([[0, 0, float("inf"), 5]], "box 0 is not finite"),
        ([[0, 0, 1e30, 5]], "box 0 is not finite"),
        ([[5, 5, 5, 9]], "box 0 has no area: 5, 5, 5, 9; boxes are x1, y1, x2, y2"),
        ([[50, 60, 20, 90]], "box 0 has no area"),
        ([[0, 0, 5, 5], [0, 0, 5]], "rows of 4 or 5 numbers"),
        ("boxes", "rows of 4 or 5 numbers"),
    ],
)
def test_what_is_no_box_says_so(boxes, message):
    with pytest.raises(BoxError, match=message):
        check_boxes(boxes)


def test_boxes_with_and_without_scores():
    assert check_boxes([]).shape == (0, 5) == check_boxes(np.zeros((0, 4))).shape
    assert check_boxes([[1, 2, 3, 4]]).tolist() == [[1, 2, 3, 4, 1]]
    assert check_boxes([[1, 2, 3, 4, 0.5]]).tolist() == [[1, 2, 3, 4, 0.5]]


def test_a_region_has_the_inputs_shape_and_holds_the_padded_box():
    regions = crop_regions(np.array([[10, 20, 40, 100], [0, 0, 90, 30.0]]), SIZE)
    assert regions.tolist() == [[25, 60, 75, 100], [45, 15, 112.5, 150]]


def test_the_authors_numbers():
    """x of the image goes to (x - centre) * W / width + W / 2."""
    matrix = crop_matrices(np.array([[100, 80, 96, 128.0]]), SIZE, aligned=False)
    found = transform(matrix, np.array([[[100, 80, 1], [52, 16, 1], [148, 144, 1.0]]]))
    np.testing.assert_allclose(found[0, :, :2], [[24, 32], [0, 0], [48, 64]])


def test_aligned_maps_pixel_areas():
    """A region as large as the input is cut out untouched; one twice as large puts two pixels' centre at one's."""
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    matrix = crop_matrices(np.array([[24, 32, 48, 64.0]]), SIZE, aligned=True)
    np.testing.assert_array_equal(crop(image, matrix[0], SIZE), image)
    matrix = crop_matrices(np.array([[48, 64, 96, 128.0]]), SIZE, aligned=True)
    np.testing.assert_allclose(transform(matrix, np.array([[[0.5, 0.5], [94.5, 126.5]]]))[0], [[0, 0], [47, 63]])


def test_rotation_is_counter_clockwise_on_the_screen():
    matrix = crop_matrices(np.array([[24, 32, 48, 64.0]]), SIZE, aligned=False, rotation=90)
    np.testing.assert_allclose(transform(matrix, np.array([[[34.0, 32]]]))[0], [[24, 22]], atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    centre=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), width=st.floats(1, 1e4), angle=st.floats(-180, 180),
    aligned=st.booleans(),
)  # fmt: skip
def test_there_and_back(centre, width, angle, aligned):
    matrix = crop_matrices(np.array([[*centre, width, width * 4 / 3]]), SIZE, aligned, angle)
    points = np.random.default_rng(0).uniform(-100, 100, (1, 5, 3))
    np.testing.assert_allclose(transform(invert(matrix), transform(matrix, points)), points, atol=1e-6)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("factor", [3.5, 9.0, 40.0])
def test_a_crop_of_a_large_region_shows_the_right_places(aligned, factor):
    """On a ramp the crop's value at a point is the ramp's value where the matrix says it comes from."""
    ramp = np.repeat(np.broadcast_to(np.linspace(0, 255, 2400), (1800, 2400))[..., None], 3, 2).round().astype(np.uint8)
    matrix = crop_matrices(np.array([[1200, 900, 48 * factor, 64 * factor]]), SIZE, aligned)
    result = crop(ramp, matrix[0], SIZE)
    xs = np.arange(4, 44)
    points = np.stack([xs, np.full(40, 32)], 1)[None].astype(float)
    where = transform(invert(matrix), points)[0, :, 0]
    inside = (where > 2 * factor) & (where < 2399 - 2 * factor)
    np.testing.assert_allclose(result[32, xs[inside], 0], where[inside] * 255 / 2399, atol=1.6)
    assert inside.sum() > 20


def test_fine_stripes_are_averaged_and_not_sampled():
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    matrix = crop_matrices(np.array([[600, 600, 800, 800 * 4 / 3]]), SIZE, aligned=True)
    middle = crop(stripes, matrix[0], SIZE)[28:36, 20:28]
    assert np.abs(middle.astype(int) - 127).max() < 20


def test_a_image_longer_than_opencv_warps():
    strip = np.full((20, 40000, 3), 200, np.uint8)
    matrix = crop_matrices(crop_regions(np.array([[39900, 0, 39960, 20.0]]), SIZE), SIZE, aligned=True)
    result = crop(strip, matrix[0], SIZE)
    assert result.shape == (*SIZE, 3) and (result[32, 20:28] == 200).all()
    far = crop_matrices(crop_regions(np.array([[50000, 0, 50060, 20.0]]), SIZE), SIZE, aligned=True)
    assert not crop(strip, far[0], SIZE).any()
