"""Bottom-up training data: targets lie where the people are, masks where nothing is known, crowds repeat."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from scalenet.arch import SearchSpace
from scalenet.datasets import CROWDPOSE, LSP, Labels
from scalenet.evaluate import DataError
from scalenet.evaluate.crowdpose import score_crowdpose
from scalenet.evaluate.keypoint_data import KeypointSet
from scalenet.weights import load_model, read_weights
from training.__main__ import main
from training.data import crowds
from training.data.bottomup import BottomUpSource, RandomAffine, Scene, crowd_mask, draw_heatmaps, place, targets
from training.data.crowds import FROM_LSP, LABELS, CrowdSource, crowd_index, write_crowds
from training.engine import Run
from training.recipes import RECIPES, get_recipe

from .small_data import photographs

TWO = Labels("two", ("left_eye", "right_eye"), partners=((0, 1),), sigmas=(0.1, 0.1), convention="aligned")


def coco_form(
    root, folder: str = "annotations", name: str = "person_keypoints_val2017.json", pictures: str = "val2017"
):
    """One black 60x80 picture: red and green dots are the eyes of one person; a crowd and somebody without joints."""
    (root / folder).mkdir(parents=True)
    (root / pictures).mkdir(parents=True)
    image = np.zeros((60, 80, 3), np.uint8)
    cv2.circle(image, (20, 30), 3, (255, 0, 0), -1)
    cv2.circle(image, (50, 20), 3, (0, 255, 0), -1)
    cv2.imwrite(str(root / pictures / "000000000007.png"), image[:, :, ::-1])
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


def lsp_form(root, people: int = 4):
    """Crops of a photograph with LSP's joints: a stick figure drawn where they are."""
    rng = np.random.default_rng(0)
    x = [35, 37, 40, 60, 63, 65, 20, 25, 38, 62, 75, 80, 50, 50]
    y = [95, 75, 55, 55, 75, 95, 55, 45, 25, 25, 45, 55, 22, 5]
    figure = np.column_stack([x, y]) + np.array([30.0, 20.0])
    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        images, annotations = [], []
        for i in range(1, people + 1):
            joints = figure + rng.normal(0, 2, figure.shape)
            image = photographs()[0][:150, 10 * i : 160 + 10 * i].copy()
            for a, b in LSP.skeleton:
                cv2.line(
                    image,
                    tuple(joints[a].astype(int).tolist()),
                    tuple(joints[b].astype(int).tolist()),
                    (255, 255, 0),
                    4,
                )
            cv2.imwrite(str(root / "images" / split / f"{i}.png"), image)
            images.append({"id": i, "file_name": f"{i}.png", "height": 150, "width": 150})
            keypoints = np.column_stack([joints, np.full(14, 2)]).ravel().tolist()
            box = [40, 15, 80, 110]
            annotations.append({"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": 14,
                                "keypoints": keypoints, "bbox": box, "area": 0.53 * 80 * 110})  # fmt: skip
        category = {"id": 1, "name": "person", "keypoints": list(LSP.names), "skeleton": []}
        data = {"images": images, "annotations": annotations, "categories": [category]}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(data))
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
    assert coarse.shape == (14, 24, 32) and fine.shape == (14, 48, 64) and joints.shape == (30, 14)
    assert (
        low.shape == (24, 32) and high.shape == (48, 64) and low[:12].max() == 0 == high[:24].max() and low[12:].all()
    )
    person, joint = np.nonzero(joints >= 0)
    assert len(person) > 100
    peaks = coarse[joint, joints[person, joint] // 32, joints[person, joint] % 32]
    assert (peaks > 0.9).all() and (convention == "aligned" or (peaks == 1).all())


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
    assert source.labels.partners == ((0, 1),)
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
    """Colour of the picture where a stride-2 heatmap is highest."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    return image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((0, 1))


def test_samples_repeat_and_the_plain_one_is_the_picture(tmp_path):
    source = BottomUpSource(str(coco_form(tmp_path)), "val2017")
    first, second = (source.sample(0, np.random.default_rng(3), (64, 64)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    source.augmentation = RandomAffine(rotation=0, scale=(1, 1), translate=0, flip=0)
    image, *_ = source.sample(0, np.random.default_rng(0), (60, 60))
    np.testing.assert_array_equal(image, source.scene(0).image[:, 10:70])


def test_crowds_repeat_and_have_crowdposes_joints(tmp_path):
    source = CrowdSource(str(lsp_form(tmp_path)), "val")
    assert [LSP.names[i] for i in FROM_LSP][-2:] == ["head_top", "neck"] and LABELS.names == CROWDPOSE.names
    for number in range(1, 4):
        (image, people, index), (again, same, _) = source.validation(number), source.validation(number)
        assert (image == again).all() and people == same and image.shape == (512, 512, 3) and 0 <= index <= 1
        assert len(people) <= 4 and all(len(p["keypoints"]) == 42 for p in people)
        assert all(p["area"] == pytest.approx(0.53 * p["bbox"][2] * p["bbox"][3], abs=2) for p in people)
    out = source.sample(0, np.random.default_rng(0), (64, 64))
    assert [a.shape for a in out] == [(64, 64, 3), (14, 16, 16), (14, 32, 32), (16, 16), (32, 32), (30, 14)]


def test_covered_joints_are_not_labelled(tmp_path):
    source = CrowdSource(str(lsp_form(tmp_path)), "train")
    covered = labelled = masked = 0
    for seed in range(12):
        scene, boxes = source.compose(0, np.random.default_rng(seed), (256, 256), 4)
        assert len(boxes) == len(scene.keypoints)
        there = scene.keypoints[..., 2] > 0
        assert not scene.keypoints[~there].any()
        assert ((scene.keypoints[there][:, :2] >= -0.5) & (scene.keypoints[there][:, :2] <= 255.5)).all()
        labelled, covered, masked = labelled + there.sum(), covered + (~there).sum(), masked + (scene.mask == 0).sum()
    assert labelled > 5 * covered > 0


def test_people_of_whom_too_little_is_left_are_masked_where_they_are_seen(tmp_path, monkeypatch):
    source = CrowdSource(str(lsp_form(tmp_path)), "train")
    everybody, _ = source.compose(0, np.random.default_rng(1), (512, 512), 3)
    assert len(everybody.keypoints) > 1 and everybody.mask.all()
    monkeypatch.setattr(crowds, "LEAST_LEFT", 15)
    nobody, _ = source.compose(0, np.random.default_rng(1), (512, 512), 3)
    assert len(nobody.keypoints) == 0 and (nobody.image == everybody.image).all()
    joints = everybody.keypoints[everybody.keypoints[..., 2] > 0].round().astype(int)
    assert not nobody.mask[joints[:, 1], joints[:, 0]].any(), "where they are, nothing is known"
    assert 0.2 < nobody.mask.mean() < 1, "and the background is nobody"


def test_mirrored_people_keep_their_sides(tmp_path):
    """In the figure the left side is at larger x than the right one; mirrored, it still is what is labelled left."""
    source = CrowdSource(str(lsp_form(tmp_path)), "train")
    left, right = (LABELS.names.index(f"{side}_shoulder") for side in ("left", "right"))
    for seed in range(8):
        scene, _ = source.compose(0, np.random.default_rng(seed), (256, 256), 1)
        if (scene.keypoints[0, [left, right], 2] > 0).all():
            assert scene.keypoints[0, left, 0] > scene.keypoints[0, right, 0]


def test_crowd_index_is_others_joints_per_own():
    keypoints = np.zeros((2, 14, 3))
    keypoints[0, :4] = [5, 5, 2]
    keypoints[1, :2] = [6, 6, 2]
    keypoints[1, 2:6] = [50, 50, 2]
    boxes = np.array([[0, 0, 10, 10], [40, 40, 20, 20]])
    assert crowd_index(keypoints, boxes) == 0.25  # (2 / 4 + 0 / 4) / 2


def test_written_crowds_are_a_data_set(tmp_path):
    root, out = str(lsp_form(tmp_path / "lsp")), tmp_path / "crowds"
    assert main(["crowds", root, "-o", str(out), "--count", "4"]) == 0
    data = KeypointSet.open(out, "val")
    assert len(data.images) == 4 and data.labels.names == CROWDPOSE.names and data.picture(1).is_file()
    perfect = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 1.0} for a in data.annotations]
    assert score_crowdpose(perfect, data)["ap"] == pytest.approx(1)
    with pytest.raises(DataError, match="exists already"):
        write_crowds(str(tmp_path / "lsp"), "val", tmp_path / "crowds", 4)


@pytest.mark.parametrize("stage", ["alone", "supernet"])
def test_training_runs_and_is_scored(tmp_path, stage):
    space = SearchSpace("pose", 8, (32, 24), 24, 16, (1, 1, 1), (1, 2))
    changes = ["steps=2", "minutes=0", "batch=2", "size=64,64", "early_size=64,64", "device=cpu", "arch=hrnet", "init="]
    recipe = get_recipe("p0_bottomup", [*changes, f"root={lsp_form(tmp_path / 'lsp')}", f"out={tmp_path / 'run'}"])
    recipe = dataclasses.replace(recipe, space=space, stage=stage)
    run = Run(recipe)
    run.task.evaluate = lambda model, evaluate=run.task.evaluate: evaluate(model, limit=2)
    torch.set_num_threads(1)
    run.run()
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["final"]) == {"ap", "ap50", "ap75", "ar", "ap_easy", "ap_medium", "ap_hard"}
    check_packing(tmp_path / "run" / "final.safetensors", tmp_path / "packed.safetensors", stage)


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
    recipe = get_recipe("p0_bottomup", [*changes, "rotation=30", "scale=0.75,1.5", "colour=0.0"])
    recipe = dataclasses.replace(recipe, space=SearchSpace("pose", 8, (64, 64), 24, 16, (1, 1, 1), (1, 1)))
    run = Run(recipe)
    assert isinstance(run.task.source, BottomUpSource)
    assert run.task.source.augmentation == RandomAffine(30.0, (0.75, 1.5), colour=0.0)
    figures = json.loads(read_weights(run.run())[1]["figures"])
    assert set(figures) >= ({"ap", "apm", "apl"} if form == "coco" else {"ap", "ap_easy", "ap_hard"})
    with pytest.raises(DataError, match="has 2 joints, classes=3"):
        Run(dataclasses.replace(recipe, classes=3))


def check_packing(file, packed, stage):
    """What ships is half as large; a single network is described as a deployed one is, a supernet by its space."""
    assert main(["pack", str(file), "-o", str(packed), "--terms", "for tests"]) == 0
    state, metadata = read_weights(packed)
    assert state["conv1.weight"].dtype == torch.float16 and metadata["license"] == "for tests"
    if stage == "supernet":
        assert "space" in metadata
        return
    model = load_model(packed)
    assert model.arch.input_size == (64, 64), "what it was trained for, not the space's"
    assert model.task == "bottomup" and model.labels.names == CROWDPOSE.names
    assert set(json.loads(metadata["figures"])) == {"composed crowds val"}
    assert main(["pack", str(packed), "-o", str(packed)]) == 2


def test_recipes_follow_the_papers():
    recipe = RECIPES["crowdpose_bottomup_w32_512"]
    assert (recipe.split, recipe.val_split, recipe.classes, recipe.size) == ("trainval", "test", 14, (512, 512))
    assert recipe.steps * recipe.batch // 12000 == 300 and recipe.milestones == (200 / 300, 260 / 300)
    coco = RECIPES["coco_bottomup_w48_640"]
    assert coco.lr == 1e-3 and coco.optimizer == "adam" and coco.rotation == 30 and coco.scale == (0.75, 1.5)
