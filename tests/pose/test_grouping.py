"""Grouping is the plain reference in tests/reference_grouping.py, only faster, and refuses what cannot be grouped."""

import itertools
import time

import cv2
import numpy as np
import pytest

from scalenet.pose.grouping import Candidates, GroupingError, _assign, group_keypoints, refine_joint

from .. import reference_grouping

DISC = np.exp(-(np.square(np.arange(13) - 6)[:, None] + np.square(np.arange(13) - 6)) / 8).astype(np.float32)


def scene(rng: np.random.Generator, people: int, joints: int, size: tuple[int, int], tags: int = 1, step: float = 1.5):
    """Maps of people anywhere, each joint missing with probability 0.15, over noise; tags lie ``step`` apart."""
    h, w = size
    heatmaps = rng.normal(0, 0.02, (joints, h, w)).astype(np.float32)
    spread = rng.choice([0.1, 5.0])  # tags beside people: all alike, or anything
    embedding = rng.normal(0, spread, (joints, h, w, tags)).astype(np.float32)
    for n, j in itertools.product(range(people), range(joints)):
        if rng.random() > 0.15:
            x, y = rng.integers(6, w - 6), rng.integers(6, h - 6)
            window = np.s_[j, y - 6 : y + 7, x - 6 : x + 7]
            heatmaps[window] = np.maximum(heatmaps[window], DISC * np.float32(rng.uniform(0.5, 1)))
            embedding[window] = n * step + rng.normal(0, 0.1, (13, 13, tags))
    return heatmaps, embedding


def planted(points: dict[tuple[int, int], float], joints: int, tag: float = 3.0, size: int = 32):
    """Single-pixel peaks {(joint, column): height} in row 10, one tag everywhere."""
    heatmaps = np.zeros((joints, size, size), np.float32)
    for (joint, column), height in points.items():
        heatmaps[joint, 10, column] = height
    return heatmaps, np.full(heatmaps.shape, tag, np.float32)


def compare_scenes(seeds: range) -> int:
    found = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        size = tuple(rng.integers(30, 70, 2))
        people, joints, step = int(rng.integers(0, 8)), int(rng.choice([5, 14, 17])), rng.choice([0.6, 1.5, 3])
        heatmaps, tags = scene(rng, people, joints, size, int(rng.integers(1, 3)), step)
        if seed % 3 == 0:  # flat tops
            heatmaps = np.round(heatmaps * 16) / 16
        keypoints, scores = group_keypoints(heatmaps, tags)
        expected, expected_scores = reference_grouping.group(heatmaps, tags)
        assert keypoints.shape == expected.shape, seed
        np.testing.assert_allclose(keypoints, expected, atol=1e-4, err_msg=f"scene {seed}")
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5, err_msg=f"scene {seed}")
        found += len(scores)
    return found


def test_same_people_as_the_reference():
    assert compare_scenes(range(60)) > 100


@pytest.mark.slow
def test_same_people_as_the_reference_in_a_thousand_scenes():
    assert compare_scenes(range(1000)) > 2000


@pytest.mark.parametrize("rows, columns", [(2, 4), (4, 2), (4, 4), (3, 1)])
def test_candidates_are_assigned_at_least_total_cost(rows, columns):
    rng = np.random.default_rng(rows * 10 + columns)
    for _ in range(20):
        joint = Candidates(np.zeros((rows, 2)), rng.random(rows), rng.uniform(0, 3, (rows, 1)))
        means = rng.uniform(0, 3, (columns, 1))
        distance = np.abs(joint.tags - means.T)
        cost = np.round(distance) * 100 - joint.score[:, None]
        person = _assign(joint, means, 1e9)  # nothing is refused, so that the whole assignment shows
        taken = np.flatnonzero(person >= 0)
        least = min(
            sum(cost[r, c] for r, c in zip(kept, way, strict=True))
            for kept in itertools.combinations(range(rows), min(rows, columns))
            for way in itertools.permutations(range(columns), min(rows, columns))
        )
        assert len(set(person[taken])) == len(taken) == min(rows, columns)
        assert cost[taken, person[taken]].sum() == pytest.approx(least)


@pytest.mark.parametrize("tags", [1, 2])
def test_refinement_finds_the_first_of_the_highest(tags):
    rng = np.random.default_rng(tags)
    for h, w in ((16, 16), (17, 40), (5, 3), (64, 33)):
        for coarse in (True, False):  # coarse: many equal values
            heatmap = rng.random((h, w)).astype(np.float32)
            embedding = rng.uniform(-3, 3, (tags, h, w)).astype(np.float32)
            if coarse:
                heatmap, embedding = np.round(heatmap), np.round(embedding)
            means = rng.uniform(-4, 4, (6, tags))
            position, score = refine_joint(heatmap, embedding, means)
            for mean, (x, y), value in zip(means, position, score, strict=True):
                whole = heatmap - np.round(np.sqrt(((embedding.astype(float) - mean[:, None, None]) ** 2).sum(0)))
                assert (y, x) == np.unravel_index(whole.argmax(), whole.shape)
                assert value == heatmap[y, x]


def test_quarter_offset_and_half_pixel():
    heatmaps, tags = planted({(0, 8): 0.9, (0, 9): 0.5, (1, 0): 0.8}, 2)
    keypoints, scores = group_keypoints(heatmaps, tags)
    np.testing.assert_allclose(keypoints[0], [[8.75, 10.25, 0.9], [0.25, 10.25, 0.8]], rtol=1e-6)
    assert scores[0] == pytest.approx(0.85)
    keypoints, _ = group_keypoints(heatmaps, tags, adjust=False)
    np.testing.assert_allclose(keypoints[0, :, :2], [[8.5, 10.5], [0.5, 10.5]])


def test_missing_joints_are_refined_after_scoring():
    heatmaps, tags = planted({(0, 8): 0.9, (1, 20): 0.08}, 3)
    keypoints, scores = group_keypoints(heatmaps, tags)
    assert scores[0] == pytest.approx(0.3)  # mean over all three joints, before refinement
    np.testing.assert_allclose(keypoints[0, 1], [20.25, 10.25, 0.08], rtol=1e-6)
    assert not keypoints[0, 2].any()  # nothing above 0 anywhere
    assert not group_keypoints(heatmaps, tags, refine=False)[0][0, 1].any()


def test_tag_threshold_bounds_the_unrounded_distance():
    heatmaps, tags = planted({(0, 8): 0.9, (1, 20): 0.8}, 2)
    for apart, people in ((0.99, 1), (1.01, 2)):
        tags[1] = tags[0] + apart
        assert len(group_keypoints(heatmaps, tags)[0]) == people


def test_more_than_max_people_come_back():
    heatmaps, tags = planted({(0, 3): 0.9, (0, 12): 0.8, (0, 21): 0.7, (1, 3): 0.9, (1, 12): 0.8}, 2)
    tags[1] = 50.0
    keypoints, _ = group_keypoints(heatmaps, tags, max_people=2, refine=False)
    assert len(keypoints) == 4  # the two best of each joint, and nobody matches


def test_a_flat_top_is_one_peak_but_neighbours_of_other_tags_are_not():
    heatmaps, tags = planted({(0, 8): 0.9, (0, 9): 0.9, (0, 10): 0.9}, 1)
    assert len(group_keypoints(heatmaps, tags)[0]) == 1
    tags[0, :, 10] = 7
    assert len(group_keypoints(heatmaps, tags)[0]) == 2
    assert len(group_keypoints(np.full((2, 200, 300), 0.5), np.zeros((2, 200, 300)))[0]) == 1


def test_joint_order_decides_who_comes_first():
    heatmaps, tags = planted({(0, 8): 0.9, (1, 20): 0.8}, 2)
    tags[1] = 9.0
    first = [group_keypoints(heatmaps, tags, joint_order=order, refine=False)[0][0] for order in ([0, 1], [1, 0])]
    assert first[0][0, 2] > 0 and first[1][1, 2] > 0
    with pytest.raises(GroupingError, match="joint_order"):
        group_keypoints(heatmaps, tags, joint_order=[0, 0])


def test_nobody_is_an_empty_answer_and_quick():
    heatmaps = np.zeros((17, 512, 512), np.float32)
    started = time.process_time()
    keypoints, scores = group_keypoints(heatmaps, heatmaps)
    assert keypoints.shape == (0, 17, 3) and scores.shape == (0,)
    assert time.process_time() - started < 1


def test_two_hundred_people():
    y, x = (a.ravel() for a in np.mgrid[8:208:10, 8:108:10])
    heatmaps, tags = np.zeros((3, 216, 116), np.float32), np.zeros((3, 216, 116), np.float32)
    heatmaps[:, y, x], tags[:, y, x] = 1, 2 * np.arange(200)
    keypoints, scores = group_keypoints(heatmaps, tags, max_people=200)
    assert len(keypoints) == 200 and (scores == 1).all()
    assert len(group_keypoints(heatmaps, tags)[0]) == 30


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_broken_maps_are_named(value, which):
    maps = [np.zeros((3, 20, 20), np.float32), np.zeros((3, 20, 20), np.float32)]
    maps[which][1, 4, 4] = value
    with pytest.raises(GroupingError, match=r"(heatmaps|tags) hold NaN or infinity \(joint 1\)"):
        group_keypoints(*maps)


def test_shapes_and_settings_are_checked():
    heatmaps = np.zeros((3, 20, 20), np.float32)
    with pytest.raises(GroupingError, match="takes heatmaps"):
        group_keypoints(heatmaps, heatmaps[:, :10])
    for wrong in ({"max_people": 0}, {"detection_threshold": -1}, {"tag_threshold": 0}):
        with pytest.raises(GroupingError, match=next(iter(wrong))):
            group_keypoints(heatmaps, heatmaps, **wrong)


# -- tags and places together ------------------------------------------------------------------------------
def peaks_at(*peaks, side: int = 200):
    """(K, side, side) heatmaps and tags with single peaks (joint, row, column, score, tag)."""
    joints = 1 + max(joint for joint, *_ in peaks)
    heatmaps, tags = np.zeros((2, joints, side, side), np.float32)
    for joint, row, column, score, tag in peaks:
        heatmaps[joint, row, column], tags[joint, row, column] = score, tag
    return heatmaps, tags


def test_a_far_peak_of_the_same_tag_is_somebody_else():
    maps = peaks_at((0, 20, 20, 0.9, 0), (1, 40, 20, 0.8, 0), (2, 170, 170, 0.7, 0))
    assert len(group_keypoints(*maps, refine=False)[0]) == 1
    keypoints, _ = group_keypoints(*maps, refine=False, nearby=2.0)
    assert [(joints[:, 2] > 0).tolist() for joints in keypoints] == [[True, True, False], [False, False, True]]
    assert len(group_keypoints(*maps, refine=False, nearby=20.0)[0]) == 1


def test_nearby_high_scores_go_to_high_scores_and_tags_decide_between_like_ones():
    people = [(0, 50, 50, 0.9, 0), (0, 50, 70, 0.2, 0.2)]
    keypoints, _ = group_keypoints(*peaks_at(*people, (1, 60, 60, 0.9, 0.1)), refine=False, nearby=2.0)
    assert keypoints[0, :, 2].tolist() == pytest.approx([0.9, 0.9]) and keypoints[1, 1, 2] == 0
    like = [(0, 50, 50, 0.5, 0), (0, 50, 70, 0.5, 0.4)]
    keypoints, _ = group_keypoints(*peaks_at(*like, (1, 60, 60, 0.5, 0.35)), refine=False, nearby=2.0)
    assert keypoints[keypoints[:, 1, 2] > 0][0, 0, 0] == pytest.approx(70.5, abs=0.3)
    too_far = peaks_at(*like, (1, 60, 60, 0.5, 5.0))
    assert len(group_keypoints(*too_far, refine=False, nearby=2.0)[0]) == 3


def test_every_peak_belongs_to_one_person_nearby_too():
    rng = np.random.default_rng(3)
    for _ in range(20):
        drawn = [(j, *rng.integers(0, 200, 2), rng.uniform(0.15, 1), rng.uniform(0, 3)) for j in rng.integers(0, 5, 40)]
        maps = peaks_at(*drawn, (4, 100, 100, 0.5, 0.5))
        keypoints, scores = group_keypoints(*maps, refine=False, nearby=rng.uniform(0.5, 4))
        for j in range(5):
            found = keypoints[keypoints[:, j, 2] > 0, j, :2]
            peaks = (maps[0][j] == cv2.dilate(maps[0][j], np.ones((5, 5)))) & (maps[0][j] > 0.1)
            assert len(found) == len(np.unique(found, axis=0)) == min(30, peaks.sum())
        assert len(keypoints) == len(scores) and (keypoints[..., 2].max(1) > 0).all()


def test_nearby_must_be_above_0():
    with pytest.raises(GroupingError, match="nearby must be above 0, got 0"):
        group_keypoints(*peaks_at((0, 5, 5, 0.9, 0)), nearby=0)
