"""Which images segmentation learns from and is judged by, what a sample is made of, and the Lovasz loss."""

import cv2
import numpy as np
import pytest
import torch

from training.checks import RecipeError
from training.data import DataError
from training.data.augment import dusk, jitter
from training.data.segmentation import SegmentationSource, validation_pairs
from training.engine import Run
from training.tasks import SegmentationTask
from training.tasks.losses import cross_entropy, lovasz_softmax

SIZE = (32, 40)
CPU = torch.device("cpu")


def write(root, split, stem, label, colour=None):
    """An image whose colour says its class (90 times it), unless ``colour`` is given, beside its label."""
    for kind in ("images", "labels"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    photo = (
        np.repeat(90 * np.minimum(label, 2)[:, :, None], 3, 2) if colour is None else np.full((*label.shape, 3), colour)
    )
    cv2.imwrite(str(root / "images" / split / f"{stem}.png"), photo.astype(np.uint8))
    cv2.imwrite(str(root / "labels" / split / f"{stem}.png"), label.astype(np.uint8))


@pytest.fixture
def drives(tmp_path):
    """Two drives, a and b, in train; b goes on in val."""
    label = np.zeros(SIZE)
    label[16:] = 1
    for split, stems in (("train", ("a0", "a1", "b0")), ("val", ("b1", "b2"))):
        for stem in stems:
            write(tmp_path, split, stem, label)
    return tmp_path


def stems(pairs):
    return [photo.stem for photo, _ in pairs]


# -- splits ----------------------------------------------------------------------------------------------------
def test_joined_splits_are_read_together_and_once(drives):
    assert stems(SegmentationSource(str(drives), "train+val", 3).pairs) == ["a0", "a1", "b0", "b1", "b2"]
    assert stems(SegmentationSource(str(drives), "val+val", 3).pairs) == ["b1", "b2"]
    with pytest.raises(DataError, match="images/test"):
        SegmentationSource(str(drives), "train+test", 3)


@pytest.mark.parametrize("split", ["train", "train+val"])
def test_a_drive_that_is_held_out_is_validated_on_and_not_learned_from(recipe, drives, split):
    recipe = recipe.changed(root=str(drives), split=split, hold_out="b")
    task = SegmentationTask(recipe, CPU)
    assert stems(task.source.pairs) == ["a0", "a1"] and stems(task.val) == ["b0", "b1", "b2"]
    assert task.source.class_counts().sum() == 2 * 32 * 40
    task = SegmentationTask(recipe.changed(hold_out="a"), CPU)
    assert stems(task.val) == ["a0", "a1"] and stems(task.source.pairs) == (
        ["b0"] if split == "train" else ["b0", "b1", "b2"]
    )


def test_a_drive_of_which_only_the_validation_has_images(tmp_path, drives):
    write(drives, "val", "c0", np.zeros(SIZE))
    assert stems(validation_pairs(str(drives), "train", "val", "c")) == ["c0"]
    assert len(SegmentationSource(str(drives), "train", 3, hold_out="c")) == 3


@pytest.mark.parametrize("prefix", ["x", "b00"])
def test_holding_out_nothing_is_said_in_one_line(recipe, drives, prefix):
    with pytest.raises(DataError, match=f"no image of train or val .* hold_out={prefix}") as error:
        SegmentationTask(recipe.changed(root=str(drives), hold_out=prefix), CPU)
    assert "\n" not in str(error.value)


def test_holding_out_everything_is_said_in_one_line(recipe, drives):
    recipe = recipe.changed(root=str(drives), split="val", hold_out="b")
    with pytest.raises(DataError, match=r"every image of val .* hold_out=b") as error:
        SegmentationTask(recipe, CPU)
    assert "\n" not in str(error.value)


# -- mixing ----------------------------------------------------------------------------------------------------
@pytest.fixture
def no_jitter(monkeypatch):
    monkeypatch.setattr("training.data.segmentation.jitter", lambda image, rng, strength: image)


def plain(root, **options):
    """A source that moves images and does not zoom, so that a pixel keeps its colour."""
    return SegmentationSource(str(root), "train", 3, scale=(1.0, 1.0), **options)


def test_image_and_label_are_pasted_alike(tmp_path, no_jitter):
    rng = np.random.default_rng(0)
    for stem in "ab":
        write(tmp_path, "train", stem, rng.integers(0, 3, SIZE))
    alone, mixed, changed = plain(tmp_path), plain(tmp_path, mix=1.0), 0
    for seed in range(20):
        before = alone.sample(0, np.random.default_rng(seed), SIZE)
        image, label = mixed.sample(0, np.random.default_rng(seed), SIZE)
        assert label.dtype == np.int64 and np.array_equal(image, np.repeat(90 * label[:, :, None], 3, 2))
        changed += not np.array_equal(label, before[1])
    assert changed == 20


def test_a_class_that_only_the_partner_has_appears_whole(tmp_path, no_jitter):
    label = np.full(SIZE, 255)
    label[8:24, 10:30] = 2
    write(tmp_path, "train", "a", np.zeros(SIZE), colour=50)
    write(tmp_path, "train", "b", label, colour=200)
    image, label = plain(tmp_path, mix=1.0).sample(0, np.random.default_rng(1), SIZE)
    assert (label == 2).sum() == 16 * 20 and (label == 0).sum() == 32 * 40 - 16 * 20
    assert np.array_equal(image[..., 0], np.where(label == 2, 200, 50))


def test_rare_classes_are_pasted_more_often(tmp_path, no_jitter):
    label = np.zeros(SIZE)
    label[:4, :10] = 1
    write(tmp_path, "train", "a", np.full(SIZE, 2))
    write(tmp_path, "train", "b", label)
    source = plain(tmp_path, mix=1.0)
    found = [source.sample(0, np.random.default_rng(seed), SIZE)[1] for seed in range(60)]
    assert all(not ((x == 0).any() and (x == 1).any()) for x in found), "half of two classes is one"
    assert sum((x == 1).any() for x in found) > 50


def test_mixing_happens_as_often_as_asked_and_repeats(tmp_path, no_jitter):
    write(tmp_path, "train", "a", np.zeros(SIZE))
    write(tmp_path, "train", "b", np.ones(SIZE))
    source = plain(tmp_path, mix=0.25)
    found = [source.sample(0, np.random.default_rng(seed), SIZE) for seed in range(200)]
    assert 30 < sum((label == 1).any() for _, label in found) < 70
    for seed in range(10):
        again = source.sample(0, np.random.default_rng(seed), SIZE)
        assert all(np.array_equal(x, y) for x, y in zip(found[seed], again, strict=True))
    assert (source.load(0)[1] == 0).all(), "the image that is kept stays as it is"


@pytest.mark.parametrize("label", [np.full(SIZE, 255), np.zeros(SIZE)])
def test_a_single_image_mixes_with_itself(tmp_path, label):
    write(tmp_path, "train", "a", label)
    assert np.array_equal(plain(tmp_path, mix=1.0).sample(0, np.random.default_rng(0), SIZE)[1], label)


# -- light -----------------------------------------------------------------------------------------------------
def test_dusk_changes_the_light_and_repeats():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    kept, means = image.copy(), []
    for seed in range(60):
        a, b = (dusk(image, np.random.default_rng(seed), 1.0) for _ in range(2))
        assert a.shape == image.shape and a.dtype == np.uint8 and np.array_equal(a, b)
        means.append(a.mean())
    assert np.array_equal(image, kept)
    assert min(means) < 90 and max(means) > 140 and np.std(means) > 10, "from dark to bright"


def test_a_weaker_dusk_changes_less_and_none_nothing():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)

    def change(strength):
        changed = [dusk(image, np.random.default_rng(seed), strength).astype(int) for seed in range(40)]
        return np.mean([abs(x - image).mean() for x in changed])

    assert change(0.0) == 0 and 1 < change(0.3) < 0.6 * change(1.0)


def test_samples_are_as_before_when_mix_and_dusk_are_off(camvid):
    """The draws, in order: zoom, place, mirror, then the colours'."""
    source = SegmentationSource(str(camvid), "train", 3, scale=(1.0, 1.0))
    image, label = source.sample(0, np.random.default_rng(4), (64, 80))
    rng = np.random.default_rng(4)
    rng.uniform(0, 0), rng.uniform(np.zeros(2), np.zeros(2))
    side = -1 if rng.random() < 0.5 else 1
    photo, classes = source.load(0)
    assert np.array_equal(label, classes[:, ::side])
    assert np.array_equal(image, jitter(np.ascontiguousarray(photo[:, ::side]), rng))


def test_dusk_reaches_the_samples(camvid):
    off, on = (SegmentationSource(str(camvid), "train", 3, dusk=d) for d in (0.0, 1.0))
    changed = 0
    for seed in range(8):
        (a, x), (b, y) = (s.sample(0, np.random.default_rng(seed), SIZE) for s in (off, on))
        assert np.array_equal(x, y)
        changed += not np.array_equal(a, b)
    assert changed > 4


@pytest.mark.parametrize("change", [{"dusk": 1.5}, {"mix": -0.1}])
def test_shares_and_strengths_are_from_0_to_1(recipe, change):
    with pytest.raises(RecipeError, match=f"{next(iter(change))} is from 0 to 1"):
        SegmentationTask(recipe.changed(**change), CPU)


# -- Lovasz ----------------------------------------------------------------------------------------------------
def logits_of(chances):
    """(1, C, 1, P) logits of (P, C) probabilities."""
    return torch.tensor(chances).log().T[None, :, None]


def test_a_perfect_prediction_costs_nothing():
    target = torch.randint(0, 4, (2, 8, 8))
    logits = 100 * torch.nn.functional.one_hot(target, 4).permute(0, 3, 1, 2).float()
    assert lovasz_softmax(logits, target).item() == pytest.approx(0, abs=1e-6)
    assert lovasz_softmax(-logits, target).item() == pytest.approx(1, abs=1e-6)


def test_lovasz_by_hand():
    """Class 0 (pixels 0, 1): errors 0.4, 0.2, 0.1 in the order 2, 1, 0; 1 - IoU grows to 1/3, 2/3, 1.

    Class 1 (pixel 2): the same errors and order; 1 - IoU is 1 at once.
    """
    logits = logits_of([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    found = lovasz_softmax(logits, torch.tensor([[[0, 0, 1]]]))
    assert found.item() == pytest.approx((0.7 / 3 + 0.4) / 2, rel=1e-5)


def test_hard_predictions_cost_one_less_the_iou_of_the_classes_that_are_there():
    truth, guess = torch.randint(0, 3, (2, 2, 10, 12)).unbind(0)
    logits = 100 * torch.nn.functional.one_hot(guess, 5).permute(0, 3, 1, 2).float()
    iou = [((truth == c) & (guess == c)).sum() / ((truth == c) | (guess == c)).sum() for c in range(3)]
    assert lovasz_softmax(logits, truth).item() == pytest.approx(1 - sum(iou).item() / 3, rel=1e-5)


def test_the_gradient_raises_the_true_class():
    logits, target = torch.zeros(1, 3, 4, 4, requires_grad=True), torch.randint(0, 2, (1, 4, 4))
    with torch.no_grad():
        logits += 0.1 * torch.randn(1, 3, 4, 4)
    lovasz_softmax(logits, target).backward()
    truth = torch.nn.functional.one_hot(target, 3).permute(0, 3, 1, 2).bool()
    assert (logits.grad[truth] < 0).all() and (logits.grad[:, 2] > 0).all()
    with torch.no_grad():
        better = lovasz_softmax(logits - logits.grad, target)
    assert better < lovasz_softmax(logits, target)


def test_lovasz_ignores_255():
    logits, target = torch.randn(1, 3, 4, 6, requires_grad=True), torch.randint(0, 3, (1, 4, 6))
    target[:, :, 3:] = 255
    loss = lovasz_softmax(logits, target)
    torch.testing.assert_close(loss, lovasz_softmax(logits[..., :3], target[..., :3]))
    loss.backward()
    assert not logits.grad[..., 3:].any() and logits.grad[..., :3].any()
    nothing = lovasz_softmax(logits, torch.full_like(target, 255))
    nothing.backward()
    assert nothing.item() == 0


def test_lovasz_of_a_grid_is_near_that_of_every_pixel():
    target = torch.randint(0, 3, (2, 8, 10)).repeat_interleave(12, 1).repeat_interleave(12, 2)
    logits = torch.nn.functional.one_hot(target, 3).permute(0, 3, 1, 2) + torch.randn(2, 3, 96, 120)
    whole, some = (lovasz_softmax(logits, target, pixels).item() for pixels in (10**9, 2048))
    assert some != whole and some == pytest.approx(whole, abs=0.03)


@pytest.mark.parametrize("loss", [cross_entropy, lovasz_softmax])
def test_losses_count_in_float32_under_autocast(loss):
    logits, target = torch.randn(2, 5, 32, 32).bfloat16(), torch.randint(0, 5, (2, 32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(logits, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(logits.float(), target))


@pytest.mark.parametrize("ohem", [0.0, 0.7])
def test_lovasz_weighs_as_the_recipe_says(recipe, ohem):
    logits, target = torch.randn(2, 3, 48, 48), torch.randint(0, 3, (2, 48, 48))
    off, on = (SegmentationTask(recipe.changed(lovasz=w, ohem=ohem), CPU).loss(logits, target) for w in (0.0, 0.4))
    torch.testing.assert_close(on - off, 0.4 * lovasz_softmax(logits, target))


def test_a_run_with_all_of_it(recipe):
    recipe = recipe.changed(split="train+val", hold_out="p1", lovasz=0.5, mix=0.5, dusk=0.7, autocast="bf16", steps=2)
    assert Run(recipe).run().is_file()
