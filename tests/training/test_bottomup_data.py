"""Bottom-up training data: targets lie where the people are, masks where nothing is known."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from scalenet.archs.arch import SearchSpace
from scalenet.data import DataError
from scalenet.data.labels import COCO_ALIGNED, CROWDPOSE, Labels
from training.data.bottomup import (
    BottomUpSource,
    RandomAffine,
    Scene,
    Unknown,
    crowd_mask,
    draw_heatmaps,
    place,
    targets,
    warp_scene,
)
from training.engine import Run
from training.recipes import RECIPES, get_recipe

from ..small_training import flat, metrics_of

TWO = Labels("two", ("left_eye", "right_eye"), flip_pairs=((0, 1),), sigmas=(0.1, 0.1), convention="aligned")


def coco_form(root, folder: str = "annotations", name: str = "person_keypoints_val2017.json", photos: str = "val2017"):
    """One black 60x80 image: red and green dots are the eyes of one person; a crowd and somebody without joints."""
    (root / folder).mkdir(parents=True)
    (root / photos).mkdir(parents=True)
    image = np.zeros((60, 80, 3), np.uint8)
    cv2.circle(image, (20, 30), 3, (255, 0, 0), -1)
    cv2.circle(image, (50, 20), 3, (0, 255, 0), -1)
    cv2.imwrite(str(root / photos / "000000000007.png"), image[:, :, ::-1])
    base = {"image_id": 7, "category_id": 1, "area": 100}
    nothing = {"keypoints": [0] * 6, "num_keypoints": 0}
    runs = {"size": [60, 80], "counts": [50, 10, 50, 10, 4680]}  # the lowest ten pixels of the first two columns
    polygon = [[60, 40, 69, 40, 69, 49, 60, 49]]
    annotations = [
        {
            **base,
            "id": 1,
            "iscrowd": 0,
            "keypoints": [20, 30, 2, 50, 20, 2],
            "num_keypoints": 2,
            "bbox": [10, 10, 50, 30],
        },
        {**base, **nothing, "id": 2, "iscrowd": 0, "bbox": [60, 40, 10, 10], "segmentation": polygon},
        {**base, **nothing, "id": 3, "iscrowd": 1, "bbox": [0, 50, 4, 10], "segmentation": runs},
    ]
    category = {"id": 1, "name": "person", "keypoints": list(TWO.names), "skeleton": [], "sigmas": [0.1, 0.1]}
    images = [{"id": 7, "file_name": "000000000007.jpg", "height": 60, "width": 80}]
    (root / folder / name).write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    return root


def test_heatmaps_peak_at_the_joints():
    centres = np.array([[[5.0, 3.0], [7.25, 8.5]], [[6.0, 3.0], [0.0, 0.0]]])
    heatmaps = draw_heatmaps(centres, np.array([[True, True], [True, False]]), (12, 16))
    assert heatmaps.shape == (2, 12, 16)
    assert heatmaps[0, 3, 5] == heatmaps[0, 3, 6] == 1  # where two meet, the higher counts
    assert heatmaps[1, 8, 7] == pytest.approx(np.exp(-(0.25**2 + 0.5**2) / 8))
    assert heatmaps[1, 0, 0] == 0 and heatmaps[0, 11, 15] == 0


def test_joints_are_placed_by_their_convention():
    people = np.array([[[10.0, 7, 2], [-0.4, 0, 1], [-0.6, 0, 1], [31.4, 31.4, 1], [31.6, 31.4, 1], [8, 8, 0]]])
    aligned, there = place(people, 4, (8, 8), True)
    np.testing.assert_allclose(aligned[0, 0], [2.125, 1.375])
    assert there[0].tolist() == [True, True, False, True, False, False]
    authors, there = place(people, 4, (8, 8), False)
    assert authors[0, :2].tolist() == [[2, 1], [-1, 0]] and there[0].tolist() == [True, False, False, True, True, False]
    np.testing.assert_allclose(place(people, 2, (16, 16), True)[0][0, 0], [4.75, 3.25])


@pytest.mark.parametrize("convention", ["aligned", "authors"])
def test_targets_agree_with_each_other(convention):
    labels = dataclasses.replace(CROWDPOSE, convention=convention)
    rng = np.random.default_rng(0)
    people = np.concatenate([rng.uniform(-20, 148, (35, 14, 2)), rng.integers(0, 3, (35, 14, 1))], 2)
    mask = np.ones((96, 128), np.uint8)
    mask[:48] = 0
    coarse, fine, low, high, joints = targets(Scene(np.zeros((96, 128, 3), np.uint8), people, mask), labels)
    assert coarse.shape == low.shape == (14, 24, 32) and fine.shape == high.shape == (14, 48, 64)
    assert joints.shape == (30, 14)
    assert low[:, :12].max() == 0 == high[:, :24].max() and low[:, 12:].all() and high[:, 24:].all()
    person, joint = np.nonzero(joints >= 0)
    assert len(person) > 100
    peaks = coarse[joint, joints[person, joint] // 32, joints[person, joint] % 32]
    assert (peaks > 0.9).all() and (convention == "aligned" or (peaks == 1).all())


def test_masks_are_of_joints():
    """Joint 3 is not known in one part of the image, nothing in another, and what is labelled is known anyway."""
    people = np.zeros((1, 17, 3))
    people[0, 3] = [20, 20, 2]
    one, all_joints = np.arange(17) == 3, np.ones(17, bool)
    corner, edge = np.array([[0, 0], [63, 0], [63, 63], [0, 63]]), np.array([[96, 0], [127, 0], [127, 95], [96, 95]])
    parts = (Unknown(corner, one), Unknown(edge, all_joints))
    scene = Scene(np.zeros((96, 128, 3), np.uint8), people, np.ones((96, 128), np.uint8), parts)
    coarse, _, low, high, _ = targets(scene, COCO_ALIGNED)
    assert low.dtype == high.dtype == np.uint8
    assert low[3, 14, 14] == 0 == high[3, 28, 28] and low[3, 14, 20] == 1
    assert low[2, :, :22].all() and not low[:, :, 26:].any()
    assert low[3][coarse[3] > 0].all() and low[3, 5, 5] == 1

    mirrored = warp_scene(scene, np.array([[[-1.0, 0, 127], [0, 1, 0]]]), (96, 128), True, COCO_ALIGNED)
    _, _, low, _, _ = targets(mirrored, COCO_ALIGNED)
    assert low[4, 14, 32 - 14] == 0 and low[3, :, 10:].all(), "a left ear's mask is a right ear's"


def test_coco_and_crowdpose_folders(tmp_path):
    coco = BottomUpSource(str(coco_form(tmp_path / "coco")), "val2017")
    crowd = BottomUpSource(str(coco_form(tmp_path / "cp", "json", "crowdpose_trainval.json", "images")), "trainval")
    for source in (coco, crowd):
        scene = source.scene(0)
        assert scene.keypoints.shape == (1, 2, 3) and scene.image.shape == (60, 80, 3)
        assert source.load(0, (64, 64)).shape == (64, 64, 3)
    with pytest.raises(DataError, match="no split"):
        BottomUpSource(str(tmp_path / "coco"), "train2017")


def test_masks_cover_crowds_and_people_without_joints(tmp_path):
    source = BottomUpSource(str(coco_form(tmp_path)), "val2017")
    mask = source.scene(0).mask
    assert mask[44, 65] == 0 and mask[55, 0] == 0 == mask[55, 1] and mask[49, 0] == 1
    assert (mask == 0).sum() == 100 + 20
    boxes = [{"num_keypoints": 0, "bbox": [2.5, 3, 4, 2]}, {"num_keypoints": 3, "bbox": [0, 0, 10, 10]}]
    assert np.argwhere(crowd_mask(boxes, (10, 10)) == 0).tolist() == [[y, x] for y in (3, 4) for x in (2, 3, 4, 5, 6)]


def test_augmented_targets_stay_on_their_dots(tmp_path):
    source = BottomUpSource(str(coco_form(tmp_path)), "val2017")
    assert source.labels.flip_pairs == ((0, 1),)
    seen, flips = 0, set()
    for seed in range(30):
        image, coarse, fine, _, _, joints = source.sample(0, np.random.default_rng(seed), (128, 128))
        if (joints[0] < 0).any():
            continue
        seen += 1
        colours = [fine_at(image, fine[j]) for j in range(2)]
        flips.add(colours[0].argmax())
        assert {int(c.argmax()) for c in colours} == {0, 1} and min(c.max() for c in colours) > 150
        assert all(coarse[j].argmax() == joints[0, j] for j in range(2))
    assert seen > 5 and flips == {0, 1}  # a mirrored left eye is the right one


def fine_at(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Colour of the image where a stride-2 heatmap is highest."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    return image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((0, 1))


def test_samples_repeat_and_the_plain_one_is_the_image(tmp_path):
    source = BottomUpSource(str(coco_form(tmp_path)), "val2017")
    first, second = (source.sample(0, np.random.default_rng(3), (64, 64)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    source.augmentation = RandomAffine(rotation=0, scale=(1, 1), translate=0, flip=0)
    image, *_ = source.sample(0, np.random.default_rng(0), (60, 60))
    np.testing.assert_array_equal(image, source.scene(0).image[:, 10:70])


@pytest.mark.parametrize("form", ["coco", "crowdpose"])
def test_training_on_coco_and_crowdpose_folders(tmp_path, form):
    root = tmp_path / form
    if form == "coco":
        split, file = "val2017", coco_form(root) / "annotations" / "person_keypoints_val2017.json"
    else:
        split, file = "trainval", coco_form(root, "json", "crowdpose_trainval.json", "images") / "json"
        file = file / "crowdpose_trainval.json"
        data = json.loads(file.read_text())
        data["images"][0]["crowdIndex"] = 0.5
        file.write_text(json.dumps(data))
    changes = ["steps=2", "minutes=0", "batch=2", "size=64,64", "early_size=64,64", "device=cpu", "arch=hrnet", "init="]
    changes += [f"root={root}", f"split={split}", f"val_split={split}", "classes=2", f"out={tmp_path / 'run'}"]
    recipe = get_recipe(
        "p0_bottomup", [*changes, "rotation=30", "scale=0.75,1.5", "colour=0.0", "backgrounds=", "more_roots="]
    )
    recipe = recipe.changed(space=SearchSpace("pose", 8, (64, 64), 24, 16, (1, 1, 1), (1, 1)))
    run = Run(recipe)
    assert isinstance(run.task.source, BottomUpSource)
    assert run.task.source.augmentation == RandomAffine(30.0, (0.75, 1.5), colour=0.0)
    metrics = metrics_of(run.run())
    assert set(metrics) >= ({"ap", "apm", "apl"} if form == "coco" else {"ap", "ap_easy", "ap_hard"})
    with pytest.raises(DataError, match="has 2 joints, classes=3"):
        Run(recipe.changed(classes=3))


def test_recipes_follow_the_papers():
    recipe = flat(RECIPES["crowdpose_bottomup_w32_512"])
    assert (recipe.split, recipe.val_split, recipe.classes, recipe.size) == ("trainval", "test", 14, (512, 512))
    assert recipe.steps * recipe.batch // 12000 == 300 and recipe.milestones == (200 / 300, 260 / 300)
    coco = flat(RECIPES["coco_bottomup_w48_640"])
    assert coco.lr == 1e-3 and coco.optimizer == "adam" and coco.rotation == 30 and coco.scale == (0.75, 1.5)
