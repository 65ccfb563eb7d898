"""What is known of data sets: joints that two of them share, and joints of one in the form of another."""

import numpy as np
import pytest

from scalenet.data.labels import (
    COCO,
    COCO_ALIGNED,
    CROWDPOSE,
    DATASETS,
    LSP,
    PERSON,
    Labels,
    map_keypoints,
    shared_joints,
)


def test_joints_that_two_data_sets_share():
    pairs = shared_joints(LSP.names, COCO.names)
    assert len(pairs) == 12 and [i for i, _ in pairs] == list(range(12))
    assert all(LSP.names[i] == COCO.names[k] for i, k in pairs)
    assert shared_joints(COCO.names, LSP.names) == sorted((k, i) for i, k in pairs)
    assert {CROWDPOSE.names[i] for i, _ in shared_joints(CROWDPOSE.names, COCO.names)}.isdisjoint({"head", "neck"})
    assert shared_joints(("paw",), COCO.names) == []


def test_joints_of_one_data_set_in_the_form_of_another():
    people = np.random.default_rng(0).uniform(1, 100, (2, 5, 14, 3)).astype(np.float32)
    mapped = map_keypoints(people, LSP.names, COCO.names)
    assert mapped.shape == (2, 5, 17, 3) and mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped[..., COCO.names.index("left_wrist"), :], people[..., 11, :])
    assert not mapped[..., :5, :].any(), "LSP has no face"
    back = map_keypoints(mapped, COCO.names, LSP.names)
    np.testing.assert_array_equal(back[..., :12, :], people[..., :12, :])
    assert not back[..., 12:, :].any() and map_keypoints(np.zeros((0, 14, 3)), LSP.names, COCO.names).shape == (
        0,
        17,
        3,
    )
    with pytest.raises(ValueError, match=r"14 names need keypoints \(..., 14, 3\), got \(2, 17, 3\)"):
        map_keypoints(np.zeros((2, 17, 3)), LSP.names, COCO.names)


def test_own_networks_of_cocos_joints_differ_in_the_convention_alone():
    assert (COCO.convention, COCO_ALIGNED.convention) == ("authors", "aligned")
    assert COCO_ALIGNED.decode == "oks" and "decode" not in COCO.to_dict()
    aligned = COCO_ALIGNED.to_dict()
    assert Labels.from_dict(aligned) == COCO_ALIGNED
    assert aligned.pop("decode") and {**aligned, "convention": "authors"} == COCO.to_dict()


def test_peoples_masks_are_a_data_set_of_two_classes():
    assert DATASETS["people_masks"] is PERSON and PERSON.names == ("background", "person")
    assert max(PERSON.colours[0]) < 64 < 200 < max(PERSON.colours[1])
