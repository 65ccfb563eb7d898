"""Who is who: people who cross, leave and come back; the order in which they are found says nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalenet.data.labels import COCO, Labels
from scalenet.evaluate.metrics import coco
from scalenet.pose.oks import oks, oks_nms
from scalenet.predict.results import PoseResult
from scalenet.video.tracking import Tracker, tracker_for

SHAPE = np.array([  # somebody 100 high and 40 wide, standing
    (0, 0), (-2, -2), (2, -2), (-5, 0), (5, 0), (-15, 15), (15, 15), (-20, 35), (20, 35), (-20, 50), (20, 50),
    (-10, 50), (10, 50), (-10, 75), (10, 75), (-10, 98), (10, 98),
], float)  # fmt: skip


def somebody(x, y, scale=1.0, score=0.9):
    return np.column_stack([SHAPE * scale + (x, y), np.full(17, score)])


def frame(*people, boxes=None, labels=COCO):
    joints = np.array(people, np.float32).reshape(len(people), len(labels.names), 3)
    boxes = None if boxes is None else np.array(boxes, np.float32).reshape(len(people), 4)
    return PoseResult(joints, np.ones(len(people), np.float32), boxes, labels)


def follow(frames, seen=1, **options):
    tracker = Tracker(seen=seen, **options)
    return [tracker.update(each).ids.tolist() for each in frames]


def test_people_keep_their_ids_in_whatever_order_they_are_found():
    frames = [frame(*[somebody(100 + 3 * t, 50), somebody(300 - 3 * t, 60)][:: -1 if t % 2 else 1]) for t in range(20)]
    ids = follow(frames)
    assert sorted(ids[0]) == [1, 2] and all(row == ids[0][:: -1 if t % 2 else 1] for t, row in enumerate(ids))


@pytest.mark.parametrize("step", [3, 8, 14])
def test_two_people_who_cross_stay_themselves(step):
    count = 2 * (200 // (2 * step)) + 4
    frames = [frame(somebody(100 + step * t, 50), somebody(300 - step * t, 56)) for t in range(count)]
    assert follow(frames) == [[1, 2]] * count


def test_who_leaves_and_comes_back_is_known():
    other = somebody(400, 50)
    frames = [frame(somebody(100, 50), other)] * 5 + [frame(other)] * 10 + [frame(somebody(104, 50), other)] * 3
    assert follow(frames) == [[1, 2]] * 5 + [[2]] * 10 + [[1, 2]] * 3


def test_who_is_hidden_while_walking_is_known():
    walk = [frame(somebody(100 + 6 * t, 50)) if not 8 <= t < 14 else frame() for t in range(20)]
    assert {i for row in follow(walk) for i in row} == {1}


def test_who_stands_still_while_hidden_is_known():
    walk = [frame(somebody(100 + 9 * t, 50)) for t in range(8)]
    assert follow([*walk, *[frame()] * 10, walk[-1]])[-1] == [1]


def test_how_fast_somebody_walks_is_the_mean_of_now_and_before_per_frame():
    tracker, speeds = Tracker(seen=1), []
    for x in (100, 110, 120, None, None, 150):
        tracker.update(frame() if x is None else frame(somebody(x, 50)))
        speeds.append(tracker._tracks[0].velocity.tolist())
    walked = [0, 5, 7.5, 7.5, 7.5, 8.75]  # the last: 30 pixels in three frames
    np.testing.assert_allclose(speeds, [[v, 0] for v in walked], atol=1e-4)


def test_a_joint_that_jumps_says_nothing_of_the_way():
    first, then = somebody(100, 50), somebody(110, 50)
    then[3, 0] += 300
    tracker = Tracker(seen=1)
    tracker.update(frame(first))
    assert tracker.update(frame(then)).ids.tolist() == [1]
    np.testing.assert_allclose(tracker._tracks[0].velocity, [5, 0], atol=1e-4)


def test_an_id_is_never_given_again():
    frames = [frame(somebody(100, 50))] + [frame()] * 4 + [frame(somebody(100, 50))]
    assert follow(frames, keep=4)[-1] == [1] and follow(frames, keep=3)[-1] == [2]
    places = [frame(somebody(200 * (t % 5), 300 * (t // 5))) for t in range(15)]
    assert follow(places, keep=0) == [[t + 1] for t in range(15)]


def test_a_new_person_is_new_and_a_big_jump_too():
    ids = follow([frame(somebody(100, 50)), frame(somebody(160, 50), somebody(101, 50)), frame(somebody(400, 50))])
    assert ids == [[1], [2, 1], [3]]


def test_the_best_sum_counts_and_not_who_comes_first():
    first = frame(somebody(100, 50), somebody(112, 50))
    then = frame(somebody(108, 50), somebody(120, 50))  # the first is nearest to the second one's old place
    assert follow([first, then]) == [[1, 2], [1, 2]]


def test_boxes_help_where_joints_are_hidden():
    hidden = somebody(0, 0, score=0.05)
    hidden[:2, 2] = 0.9
    one = np.array(hidden) + np.array([100, 50, 0])
    boxed = [frame(one + np.array([t / 4, 0, 0]), boxes=[(80 + t, 40, 130 + t, 160)]) for t in range(4)]
    assert follow(boxed) == [[1]] * 4
    unseen = somebody(100, 50, score=0.0)
    assert follow([frame(unseen, boxes=[(80, 40, 130, 160)])] * 2) == [[1], [1]]


def zoomed(people, scale, middle=(200, 100)):
    return [np.column_stack([(p[:, :2] - middle) * scale + middle, p[:, 2]]) for p in people]


def test_a_zoom_makes_nobody_another_even_who_is_hidden_meanwhile():
    crowd = [somebody(60, 50), somebody(200, 50), somebody(330, 60)]
    frames = [zoomed(crowd, 1.04**t) for t in range(25)]
    frames = [frame(*(people[:2] if 6 <= t < 20 else people)) for t, people in enumerate(frames)]
    ids = follow(frames)
    assert ids[0] == [1, 2, 3] and ids[-1] == ids[0] and {i for row in ids for i in row} == {1, 2, 3}


def test_who_is_found_now_and_then_by_mistake_gets_no_id():
    steady = somebody(100, 50)
    frames = [frame(steady, *([somebody(300, 40)] if t in (3, 4, 15, 16) else [])) for t in range(20)]
    ids = follow(frames, seen=3)
    assert [row[0] for row in ids] == [-1, -1, *[1] * 18] and {row[1] for row in ids if len(row) > 1} == {-1}
    assert len({i for row in follow(frames) for i in row}) == 2


def scored(score, *people):
    return PoseResult(frame(*people).keypoints, np.array(score, np.float32), None, COCO)


def test_who_is_known_is_followed_at_a_low_score_and_nobody_begins_with_one():
    known, other = somebody(100, 50), somebody(300, 50)
    tracker = Tracker(seen=1, begin=0.4)
    assert tracker.update(scored([0.5, 0.3], known, other)).ids.tolist() == [1]
    result = tracker.update(scored([0.2, 0.3], known, other))
    assert result.ids.tolist() == [1] and result.scores.tolist() == pytest.approx([0.2])
    assert tracker.update(scored([0.2, 0.5], known, other)).ids.tolist() == [1, 2]


def test_a_sure_person_is_matched_before_an_unsure_one():
    tracker = Tracker(seen=1, begin=0.4)
    tracker.update(scored([0.9], somebody(100, 50)))
    assert tracker.update(scored([0.2, 0.9], somebody(100, 50), somebody(104, 52))).ids.tolist() == [1]


def test_the_same_person_seen_twice_is_not_two():
    tracker = Tracker(seen=1)
    twice = scored([0.5, 0.9], somebody(101, 51), somebody(100, 50))
    assert [tracker.update(twice).ids.tolist() for _ in range(3)] == [[-1, 1]] * 3
    apart = scored([0.5, 0.9], somebody(112, 54), somebody(100, 50))
    assert Tracker(seen=1).update(apart).ids.tolist() == [2, 1]


def test_who_shows_nothing_has_no_id():
    tracker = Tracker(seen=1)
    result = tracker.update(frame(somebody(100, 50, score=0.0), somebody(300, 50)))
    assert result.ids.tolist() == [-1, 1] and result.to_dict()["ids"] == [None, 1]
    lost = frame(somebody(100, 50) * np.array([np.nan, 1, 1]))
    assert tracker.update(lost).ids.tolist() == [-1]


def test_nobody_and_other_joints():
    plain = Labels.plain(4, noun="joint")
    person = np.array([(0, 0, 1), (30, 0, 1), (0, 60, 1), (30, 60, 1)], float)
    frames = [frame(*people, labels=plain) for people in ([], [person], [person * 1.03])]
    assert follow(frames) == [[], [1], [1]]


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=5, unique=True), max_size=6),
       st.randoms(use_true_random=False))  # fmt: skip
def test_the_order_within_a_frame_does_not_matter(scenes, random):
    straight, shuffled = Tracker(keep=2, seen=1), Tracker(keep=2, seen=1)
    for places in scenes:
        people = [somebody(7.3 * x + 0.01 * x * y, 11.1 * y) for x, y in places]
        order = list(range(len(people)))
        random.shuffle(order)
        ids = straight.update(frame(*people)).ids
        again = shuffled.update(frame(*[people[i] for i in order])).ids
        assert again.tolist() == ids[order].tolist()
        assert len(set(ids.tolist())) == len(people), "nobody is two people"


def test_settings_out_of_range():
    for options in ({"likeness": 0}, {"likeness": 1}, {"keep": -1}, {"seen": 0}):
        with pytest.raises(ValueError, match="likeness must lie"):
            Tracker(**options)


@pytest.mark.parametrize(("boxed", "detector", "least", "asked", "begin"), [
    (True, "found", 0.3, 0.2, 0.4), (True, "found", 0.1, 0.1, 0.4), (False, None, 0.3, 0.2, 0.4),
    (True, None, 0.3, 0.3, 0.0), (True, "found", 0.0, 0.0, 0.0),
])  # fmt: skip
def test_people_known_are_followed_when_less_sure_than_new_ones(boxed, detector, least, asked, begin):
    estimator = SimpleNamespace(spec=SimpleNamespace(boxed=boxed), detector=detector, person_threshold=least)
    tracker = tracker_for(estimator, 0.25)
    assert (estimator.person_threshold, tracker.begin, tracker.threshold) == (asked, begin, 0.25)


def test_oks_can_leave_joints_out():
    one, other = somebody(100, 50), somebody(100, 50)
    other[0, :2] += 1000
    sigmas, area = np.array(COCO.sigmas), 4000.0
    counted = np.ones((1, 17), bool)
    plain = oks(one, other[None], area, np.array([area]), sigmas)
    assert plain == pytest.approx(16 / 17) and coco.oks_nms is oks_nms
    counted[0, 0] = False
    assert oks(one, other[None], area, np.array([area]), sigmas, counted) == pytest.approx(1)
    assert oks(one, other[None], area, np.array([area]), sigmas, counted & False) == 0


def test_ids_are_drawn():
    image = np.full((200, 300, 3), 90, np.uint8)
    plain = frame(somebody(100, 50), somebody(200, 50))
    known = Tracker(seen=1).update(plain)
    drawn, with_ids = plain.draw(image), known.draw(image)
    assert (drawn != with_ids).any() and drawn.shape == with_ids.shape
    swapped = PoseResult(plain.keypoints, plain.scores, None, COCO, known.ids[::-1])
    assert (swapped.draw(image) != with_ids).any()
    edge = Tracker(seen=1).update(frame(somebody(2, 2), somebody(298, 195)))
    assert edge.draw(image).shape == image.shape
    nobody = PoseResult(plain.keypoints, plain.scores, None, COCO, np.array([-1, -1]))
    np.testing.assert_array_equal(nobody.draw(image), drawn)
