"""Annotation files read and checked; augmented crops whose targets sit on the joints; pose training on a tiny space."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from scalenet.archs.arch import SearchSpace
from scalenet.data import DataError
from scalenet.data.images import normalise
from scalenet.data.keypoints import KeypointSet, find_annotations
from scalenet.data.labels import COCO, CROWDPOSE, LSP
from scalenet.models.checkpoint import read_weights
from scalenet.predict.topdown import PoseEstimator
from training.data import make_loader
from training.data.keypoints import Augmentation, KeypointSource
from training.engine import Run
from training.published import COCO_PEOPLE
from training.recipes import RECIPES
from training.tasks import PoseTask, losses

from ..conftest import TINY
from ..small_pose import SPOTS, box_of, coco_form, person
from ..small_training import flat, metrics_of

SHARED = Path(__file__).parents[3] / "shared" / "data"
PEOPLE = [[person(70, 90), person(170, 110, 80)], [person(120, 100, 140)], [person(60, 120, 90)]]
SIZE = (64, 48)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pose") / "data"
    coco_form(folder, PEOPLE, split="train")
    coco_form(folder, PEOPLE[:2])
    return folder


# -- annotation files ----------------------------------------------------------------------------------------
def test_files_are_found_in_the_usual_places(tmp_path):
    path = coco_form(tmp_path / "coco", PEOPLE, split="val2017")
    assert find_annotations(tmp_path / "coco", "val2017") == path
    assert find_annotations(tmp_path / "coco", "val2017.json") == path
    assert find_annotations(tmp_path / "coco", "person_keypoints_val2017") == path
    data = KeypointSet.open(tmp_path / "coco", "person_keypoints_val2017")
    assert data.image(1).name == "000001.png"  # the file says .jpg: images pair by stem
    (tmp_path / "lsp" / "images").mkdir(parents=True)
    (tmp_path / "lsp" / "annotations").mkdir()
    path.rename(tmp_path / "lsp" / "annotations" / "val.json")
    (tmp_path / "coco" / "val2017").rename(tmp_path / "lsp" / "images" / "val")
    assert KeypointSet.open(tmp_path / "lsp", "val").image(3).parent.name == "val"


def test_crowds_the_unlabelled_and_empty_boxes_are_left_out(root, tmp_path):
    data = json.loads((root / "annotations" / "person_keypoints_train.json").read_text())
    first, second, third, fourth = data["annotations"]
    first["iscrowd"] = 1
    second["keypoints"] = [0] * 9
    third["bbox"][2] = 0
    for key in ("area", "num_keypoints", "iscrowd"):
        del fourth[key]
    data["annotations"].append({**fourth, "id": 9, "category_id": 5, "keypoints": [1]})
    path = tmp_path / "some.json"
    path.write_text(json.dumps(data))
    found = KeypointSet(path)
    people = found.people()
    assert people.image_ids.tolist() == [3] and people.keypoints.shape == (1, 3, 3) and len(found.annotations) == 4
    x, y, w, h = box_of(PEOPLE[2][0])
    np.testing.assert_allclose(people.boxes, [[x, y, x + w, y + h]])
    assert found.annotations[3]["num_keypoints"] == 3 and found.annotations[3]["area"] == pytest.approx(w * h)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: "{", "is not JSON"),
        (lambda d: [], "no COCO annotation file with images"),
        (lambda d: {**d, "images": []}, "no COCO annotation file with images"),
        (lambda d: {**d, "images": [{"file_name": "a"}]}, "not in COCO's form"),
        (lambda d: {**d, "categories": [{"id": 1, "name": "person"}]}, "no category of it names keypoints"),
        (lambda d: {**d, "annotations": [{**d["annotations"][0], "keypoints": [1] * 51}]}, "not have 9 keypoint"),
        (lambda d: {**d, "annotations": [{**d["annotations"][0], "image_id": 99}]}, "is of image 99"),
        (lambda d: {**d, "annotations": [{**d["annotations"][0], "bbox": None}]}, "has no bbox"),
        (lambda d: {**d, "annotations": [{**d["annotations"][0], "bbox": [1]}]}, "has no bbox"),
        (lambda d: {**d, "annotations": [{**d["annotations"][0], "area": "x"}]}, "no finite number"),
        (lambda d: {**d, "annotations": [{k: v for k, v in d["annotations"][0].items() if k != "id"}]}, "lacks an id"),
        (lambda d: {**d, "categories": [{**d["categories"][0], "skeleton": [[1, 9]]}]}, "do not fit"),
    ],
)  # fmt: skip
def test_wrong_files_say_what_is_wrong(root, tmp_path, change, message):
    changed = change(json.loads((root / "annotations" / "person_keypoints_val.json").read_text()))
    path = tmp_path / "wrong.json"
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(DataError, match=message) as error:
        KeypointSet(path)
    assert str(path) in str(error.value) or "wrong" in str(error.value)


def test_missing_images_are_noticed_at_once(root, tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "val.json").write_text((root / "annotations" / "person_keypoints_val.json").read_text())
    with pytest.raises(DataError, match="no folder of images under"):
        KeypointSource(str(tmp_path), "val")
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match=r"no image 000001.jpg in"):
        KeypointSource(str(tmp_path), "val")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not here")
def test_real_files_are_known_data_sets():
    for name, split, labels, people in (
        ("coco_mini", "train2017", COCO, 80), ("lsp", "val", LSP, 998), ("crowdpose", "val_a", CROWDPOSE, 3000),
        ("stanford40", "val", COCO, 500),
    ):  # fmt: skip
        data = KeypointSet.open(SHARED / name, split)
        assert data.labels is labels and len(data.people().boxes) >= people


# -- augmentation --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(64, 48), (96, 96)])
def test_targets_sit_on_the_joints_however_the_crop_is_made(root, size):
    """In every random crop the spot of colour k is where heatmap k has its peak; a flip changes left and right."""
    source = KeypointSource(str(root), "train", Augmentation(colour=0.0))
    checked = flipped = 0
    h, w = size[0] // 4, size[1] // 4
    for i in range(60):
        index = 2 + i % 2  # alone in their images
        image, heatmaps, weights = source.sample(index, np.random.default_rng(i), size)
        assert image.shape == (*size, 3) and heatmaps.shape == (3, h, w) and weights.shape == (3,)
        assert image.dtype == np.uint8 and heatmaps.dtype == weights.dtype == np.float32
        sight = image.astype(float).reshape(h, 4, w, 4, 3).mean((1, 3)).transpose(2, 0, 1)
        peaks = [divmod(int(heatmap.argmax()), w) for heatmap in heatmaps]
        swap = bool(sight[0][peaks[0]] < sight[1][peaks[0]])
        flipped += swap
        for k, colour in enumerate((1, 0, 2) if swap else (0, 1, 2)):
            y, x = peaks[k]
            if weights[k] and 1 < x < w - 2 and 1 < y < h - 2:
                spot = divmod(int(sight[colour].argmax()), w)
                assert sight[colour].max() > 60 and np.abs(np.subtract(spot, (y, x))).max() <= 1
                checked += 1
    assert checked > 100 and 15 < flipped < 45


def test_samples_are_a_function_of_index_and_seed(root):
    source = KeypointSource(str(root), "train")
    for a, b in zip(
        source.sample(2, np.random.default_rng(7), SIZE), source.sample(2, np.random.default_rng(7), SIZE), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert (
        source.sample(2, np.random.default_rng(8), SIZE)[0] != source.sample(2, np.random.default_rng(7), SIZE)[0]
    ).any()


def test_nothing_random_is_the_crop_of_prediction(root):
    still = KeypointSource(str(root), "train", Augmentation(0.0, 0.0, 0.0, 0.0, 0.0))
    image, heatmaps, weights = still.sample(2, np.random.default_rng(0), SIZE)
    np.testing.assert_array_equal(image, still.load(2, SIZE))
    assert weights.all() and heatmaps.max() > 0.9


def test_half_bodies_show_one_half():
    source = KeypointSource.__new__(KeypointSource)  # no images are needed for regions
    source.augmentation = Augmentation()
    source.lower = np.array(["hip" in n or "knee" in n or "ankle" in n for n in LSP.names])
    joints = np.random.default_rng(0).uniform(0, 50, (1, 14, 3))
    joints[0, source.lower, 1] += 200  # legs far below
    joints[..., 2] = 2
    source.keypoints, whole = joints, np.array([[25, 125, 187.5, 250.0]])
    centres = {float(source._half_body(0, np.random.default_rng(i), SIZE, whole)[0, 1]) > 125 for i in range(20)}
    assert centres == {True, False}
    region = source._half_body(0, np.random.default_rng(0), SIZE, whole)[0]
    assert region[3] < 125 and region[3] / region[2] == pytest.approx(64 / 48)
    joints[0, :6, 2] = 0  # eight labelled joints are too few
    assert source._half_body(0, np.random.default_rng(0), SIZE, whole) is whole


def test_rotation_and_scale_keep_to_the_papers_range(root):
    source = KeypointSource(str(root), "train", Augmentation(half_body=0.0))
    plain = KeypointSource(str(root), "train", Augmentation(0.0, 0.0, 0.0))._region(2, np.random.default_rng(0), SIZE)
    drawn = [source._region(2, np.random.default_rng(i), SIZE) for i in range(400)]
    scales = np.array([region[0, 2] for region, _ in drawn]) / plain[0][0, 2]
    angles = np.array([angle for _, angle in drawn])
    assert scales.min() == pytest.approx(0.65) and scales.max() == pytest.approx(1.35)
    assert np.abs(angles).max() <= 90 and 0.3 < (angles == 0).mean() < 0.5 and 30 < angles[angles != 0].std() < 55


def test_batches_travel_as_tensors(root):
    images, heatmaps, weights = next(iter(make_loader(KeypointSource(str(root), "train"), 5, lambda step: SIZE)))
    assert images.shape == (5, 64, 48, 3) and heatmaps.shape == (5, 3, 16, 12) and weights.shape == (5, 3)


# -- training ------------------------------------------------------------------------------------------------
def test_joint_loss_by_hand():
    output, target = torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    assert losses.joint_mse(output, target, torch.tensor([[1.0, 0.0]])).item() == 0.25
    output[0, 1] = 99  # an invisible joint's heatmap is free
    assert losses.joint_mse(output, target, torch.tensor([[1.0, 0.0]])).item() == 0.25


def test_partners_loss_sees_what_tells_left_from_right():
    flip_pairs, seen = torch.tensor([[0, 1]]), torch.ones(1, 3)
    target = torch.zeros(1, 3, 2, 2)
    both = torch.ones(1, 3, 2, 2)  # wrong, but in the same way for left and right
    assert losses.flip_pair_mse(both, target, seen, flip_pairs).item() == 0
    target[0, 0] = 1  # left is right, right is one off
    assert losses.flip_pair_mse(both, target, seen, flip_pairs).item() == 0.5
    assert losses.flip_pair_mse(both, target, torch.tensor([[1.0, 0.0, 1.0]]), flip_pairs).item() == 0


@pytest.fixture
def recipe(root, tmp_path):
    return RECIPES["p0_teacher"].changed(
        root=str(root), space=SearchSpace("pose", 8, SIZE, **TINY), classes=3, steps=3,
        minutes=0.0, batch=4, size=SIZE, sizes=(), early_size=(32, 24), early=0.4, init="", more_roots=(), ema=0.0,
        peaks=0.0, out=str(tmp_path / "teacher"), warmup=1, device="cpu",
    )  # fmt: skip


def test_a_teacher_then_a_supernet(recipe, tmp_path):
    teacher = Run(recipe).run()
    student = recipe.changed(
        name="p0_supernet", mode=RECIPES["p0_supernet"].mode, steps=4, init=str(teacher),
        teacher=str(teacher), out=str(tmp_path / "super"),
    )  # fmt: skip
    file = Run(student).run()
    state, metadata = read_weights(file)
    assert json.loads(metadata["labels"])["names"] == list(SPOTS.names)
    assert set(metrics_of(file)) == {"ap", "ap50", "ap75", "apm", "apl", "ar"}
    assert state["final_layer.weight"].shape == (3, 8, 1, 1)
    log = [json.loads(line) for line in (tmp_path / "super" / "log.jsonl").read_text().splitlines()]
    assert "final" in log[-1]


def test_the_task_learns_where_joints_are(recipe):
    """A few steps on one batch bring its own loss down."""
    torch.manual_seed(0)
    task = PoseTask(recipe, torch.device("cpu"))
    model = task.build(recipe.space.largest()).train()
    images, *targets = next(iter(make_loader(task.source, 8, lambda step: SIZE)))
    x = next(task.calibration(4))
    assert x.shape == (4, 3, *SIZE) and x.is_contiguous(memory_format=torch.channels_last)
    x, values = normalise(images), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(25):
        loss = task.loss(model(x), *targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-5:]) < 0.6 * values[0]
    metrics = task.evaluate(model, limit=1)
    assert all(v is None or 0 <= v <= 1 for v in metrics.values())


def test_the_recipe_weighs_partners(recipe):
    task = PoseTask(recipe.changed(flip_pairs=3.0), torch.device("cpu"))
    output, target, seen = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.ones(2, 3)
    apart = losses.flip_pair_mse(output, target, seen, torch.tensor([[0, 1]]))
    plain = losses.joint_mse(output, target, seen)
    assert apart > 0 and task.loss(output, target, seen).item() == pytest.approx((plain + 3 * apart).item())


def test_another_number_of_joints_is_refused(recipe):
    with pytest.raises(DataError, match=r"has 3 joints, classes=14"):
        PoseTask(recipe.changed(classes=14), torch.device("cpu"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not here")
def test_lsp_gives_pck(recipe):
    lsp = recipe.changed(root=str(SHARED / "lsp"), classes=14, split="val")
    task = PoseTask(lsp, torch.device("cpu"))
    model = task.build(recipe.space.smallest()).eval()
    assert model.labels == LSP and PoseEstimator(model, device="cpu").codec.aligned
    assert set(task.evaluate(model, limit=4)) == {"pck"}


def test_the_papers_recipes():
    for name, width, size in (
        ("coco_w32_256x192", 32, (256, 192)), ("coco_w32_384x288", 32, (384, 288)),
        ("coco_w48_384x288", 48, (384, 288)),
    ):  # fmt: skip
        recipe, teacher = flat(RECIPES[name]), flat(RECIPES[f"{name}_teacher"])
        assert recipe.space == SearchSpace("pose", width, size) and recipe.size == size and recipe.classes == 17
        assert (recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.decay) == ("adam", 1e-3, 0.0, "steps")
        assert recipe.milestones == (170 / 210, 200 / 210)
        assert recipe.steps == pytest.approx(210 * COCO_PEOPLE / recipe.batch, abs=1)
        assert (recipe.rotation, recipe.rescale, recipe.half_body, recipe.colour) == (45, 0.35, 0.3, 0)
        assert recipe.mode == "supernet" and recipe.init == recipe.teacher and teacher.mode == "standalone"
        assert recipe.teacher == f"out/training/{teacher.name}/final.safetensors" and not teacher.teacher
    tuned = RECIPES["p0_finetune"]
    assert tuned.schedule.steps == 20 * (8007 + 7993) // 32 and tuned.mode == "standalone"
    assert tuned.arch.endswith("scalenet_p0.json")


def test_nobody_is_no_people_and_a_image_needs_a_name(root, tmp_path):
    data = json.loads((root / "annotations" / "person_keypoints_val.json").read_text())
    path = tmp_path / "nobody.json"
    path.write_text("\ufeff" + json.dumps({**data, "annotations": []}))
    assert KeypointSet(path).people().keypoints.shape == (0, 3, 3)
    del data["images"][0]["file_name"]
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="has no file_name"):
        KeypointSet(path, root, "val").image(data["images"][0]["id"])


def test_what_the_validation_needs_is_missed_before_the_training(recipe, tmp_path):
    root = Path(recipe.data.root)
    other = tmp_path / "other"
    shutil.copytree(root, other)
    for file in (other / "annotations").iterdir():
        data = json.loads(file.read_text())
        data["categories"][0].pop("sigmas", None)
        data["categories"][0]["keypoints"] = ["paw", "tail", "ear"]
        file.write_text(json.dumps(data))
    with pytest.raises(DataError, match="no OKS sigma is known for joint 'paw'"):
        Run(recipe.changed(root=str(other), flip_pairs=0.0))
    with pytest.raises(DataError, match="names no left and right joints, flip_pairs=2"):
        Run(recipe.changed(root=str(other), flip_pairs=2.0))
    with pytest.raises(DataError, match="no split 'nowhere'"):
        Run(recipe.changed(val_split="nowhere"))
