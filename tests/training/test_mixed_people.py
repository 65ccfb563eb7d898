"""Several data sets of people under one network's joints, and the loss that looks at where heatmaps point to."""

import dataclasses

import numpy as np
import pytest
import torch

from scalenet.archs.arch import SearchSpace
from scalenet.data.labels import Labels
from training.data import DataError, Joined
from training.data.keypoints import Augmentation, KeypointSource
from training.recipes import RECIPES
from training.tasks import PoseTask, losses

from ..conftest import TINY
from ..small_pose import SPOTS, coco_form, person

SIZE = (64, 48)
STILL = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0)
OTHERS = Labels("others", ("nose", "right_a", "tail"), sigmas=(0.03, 0.08, 0.1))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    for name, labels, people in (
        ("one", SPOTS, [[person(70, 90)], [person(120, 100, 140)]]), ("two", OTHERS, [[person(60, 120, 90)]]),
    ):  # fmt: skip
        coco_form(folder / name, people, labels, "train")
        coco_form(folder / name, people, labels)
    return str(folder / "one"), str(folder / "two")


def recipe(roots, **changes):
    space = SearchSpace("pose", 8, SIZE, **TINY)
    return RECIPES["p0_supernet"].changed(
        root=roots[0], more_roots=(roots[1],), space=space, classes=3, steps=2, minutes=0.0,
        batch=2, size=SIZE, sizes=(), early_size=SIZE, init="", device="cpu", **changes,
    )  # fmt: skip


def test_joints_are_found_by_name_and_the_others_are_unlabelled(roots):
    source = KeypointSource(roots[1], "train", STILL, labels=SPOTS)
    own = KeypointSource(roots[1], "train", STILL, labels=dataclasses.replace(OTHERS, convention="aligned"))
    _, heatmaps, weights = source.sample(0, np.random.default_rng(0), SIZE)
    _, theirs, _ = own.sample(0, np.random.default_rng(0), SIZE)
    assert weights.tolist() == [0, 1, 1] and not heatmaps[0].any()
    assert source.labels == SPOTS and np.allclose(heatmaps[1:], theirs[[1, 0]])


def test_joints_that_a_crop_does_not_show_can_be_absent(roots):
    free, held = (KeypointSource(roots[1], "train", STILL, labels=SPOTS, absent=a) for a in (0.0, 0.5))
    for source in (free, held):
        source.keypoints[0, 1] += 500  # right_a, far outside the crop
        source.keypoints[0, 2, 2] = 0  # a nose that is not labelled
    (_, maps, weights), (_, _, others) = (s.sample(0, np.random.default_rng(0), SIZE) for s in (held, free))
    assert weights.tolist() == [0, 0.5, 0.5] and not maps.any(), "left_a is not a joint of this split: unknown"
    assert others.tolist() == [0, 0, 0]


def test_joints_of_nobody_wanted_are_refused_naming_both_lists(roots):
    with pytest.raises(DataError, match=r"none of the joints a, b; it has nose, right_a, tail"):
        KeypointSource(roots[1], "train", STILL, labels=Labels("ab", ("a", "b")))


def test_joined_sources_come_one_after_the_other(roots):
    parts = [KeypointSource(root, "train", STILL, labels=SPOTS) for root in roots]
    joined = Joined(parts)
    assert len(joined) == 3
    for index, (part, own) in enumerate([(0, 0), (0, 1), (1, 0)]):
        assert np.array_equal(joined.load(index, SIZE), parts[part].load(own, SIZE))
        a, b = (s.sample(i, np.random.default_rng(4), SIZE) for s, i in ((joined, index), (parts[part], own)))
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_task_learns_from_all_roots_and_validates_on_the_first(roots):
    task = PoseTask(recipe(roots, convention="authors", flip_pairs=0.0), torch.device("cpu"))
    assert len(task.source) == 3 and len(task.val.images) == 2
    assert task.labels.names == SPOTS.names and task.labels.convention == "authors"
    assert task.build(task.recipe.space.smallest()).labels == task.labels
    assert next(task.calibration(3, size=(32, 24))).shape == (3, 3, 32, 24)
    drawn = {float(next(task.calibration(1, seed=s)).mean()) for s in range(1, 9)}
    assert len(drawn) > 1, "another seed looks at other images"


def test_a_peak_in_its_place_costs_nothing_and_a_second_one_does():
    ys, xs = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")

    def at(x, y):
        return torch.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)

    target, seen = torch.stack([at(3, 4), at(8, 10)])[None], torch.ones(1, 2)
    assert losses.peak_divergence(target, target, seen).item() == pytest.approx(0, abs=1e-6)
    both = torch.stack([torch.maximum(at(3, 4), at(8, 10)), at(8, 10)])[None]
    halved = losses.peak_divergence(both, target, seen).item()
    assert halved == pytest.approx(0.5 * np.log(2), abs=0.05)  # half the probability is gone, of one joint in two
    assert losses.peak_divergence(both, target, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(0, abs=1e-6)
    away = torch.stack([at(8, 10), at(8, 10)])[None]
    assert losses.peak_divergence(away, target, seen).item() > 4 * halved


def test_a_flat_heatmap_is_pulled_to_its_peak():
    ys, xs = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    target = torch.exp(-((xs - 3) ** 2 + (ys - 4) ** 2) / 8)[None, None]
    flat = torch.zeros_like(target, requires_grad=True)
    losses.peak_divergence(flat, target, torch.ones(1, 1)).backward()
    assert np.unravel_index(flat.grad.argmin(), (16, 12)) == (4, 3) and flat.grad.sum().abs() < 1e-4


def test_the_recipe_weighs_peaks(roots):
    plain, weighed = (PoseTask(recipe(roots, peaks=w, flip_pairs=0.0), torch.device("cpu")) for w in (0.0, 0.5))
    output, target, seen = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.ones(2, 3)
    extra = losses.peak_divergence(output, target, seen)
    assert (weighed.loss(output, target, seen) - plain.loss(output, target, seen)).item() == pytest.approx(
        0.5 * extra.item(), rel=1e-4
    )
