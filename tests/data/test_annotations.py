"""Files of people as they come: odd ids, areas, counts, categories and names count, or it is said what does not."""

import json
import warnings

import numpy as np
import pytest
import torch

from scalenet.data import DataError, DataWarning
from scalenet.data.joint_names import flip_pairs_of
from scalenet.data.keypoints import KeypointSet, read_results
from scalenet.data.labels import COCO, CROWDPOSE, DATASETS, LSP, Labels
from scalenet.evaluate.metrics.coco import score_coco
from scalenet.evaluate.metrics.crowdpose import score_crowdpose
from scalenet.evaluate.metrics.recall import score_recall
from scalenet.evaluate.pose import evaluate
from training.data import mirrored_where_known
from training.data.bottomup import BottomUpSource, RandomAffine
from training.data.keypoints import Augmentation, KeypointSource
from training.tasks import BottomUpTask, PoseTask

from ..small_pose import SpotNetwork, coco_form, person, results_of
from .test_keypoints import recipe, root  # noqa: F401

PEOPLE = [[person(70, 90), person(170, 110, 80)], [person(120, 100, 140)], [person(60, 120, 90)]]


@pytest.fixture
def changed(tmp_path):
    """A file of four people after a change of its data, and its perfect results."""
    path = coco_form(tmp_path / "data", PEOPLE)

    def change(act) -> tuple[KeypointSet, list[dict]]:
        data = json.loads(path.read_text())
        results = results_of(data)
        act(data)
        path.write_text(json.dumps(data))
        return KeypointSet(path, path.parents[1], "val"), results

    return change


def each(rows, **values):
    """Set every row's keys to what functions of its number, or values, say."""
    for number, row in enumerate(rows):
        row.update({key: value(number) if callable(value) else value for key, value in values.items()})


# -- ids -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [lambda n: n, lambda n: 7, lambda n: f"a{n}", lambda n: -n, lambda n: None])
def test_whatever_the_ids_of_people_are_perfect_results_are_perfect(changed, number):
    data, results = changed(lambda d: each(d["annotations"], id=number))
    assert set(score_coco(results, data).values()) == {1.0}
    assert score_recall(results, data) == {"recall": 1.0, "people": 4}


def test_images_ids_may_be_texts_and_0(changed):
    data, results = changed(
        lambda d: (
            each(d["images"], id=lambda n: f"p{n + 1}"),
            [a.update(image_id=f"p{a['image_id']}") for a in d["annotations"]],
            d["categories"][0].update(id=0),
            each(d["annotations"], category_id=0),
        )
    )
    results = [{**r, "image_id": f"p{r['image_id']}", "category_id": 0} for r in results]
    assert set(score_coco(read_results(results, data), data).values()) == {1.0}
    assert score_coco(results, data, image_ids=["p2"])["ap"] == 1.0


@pytest.mark.parametrize(("act", "words"), [
    (lambda d: d["images"][1].update(id=1), "two images have the id 1: 000001.jpg and 000002.jpg"),
    (lambda d: d["images"][1].update(id="2"), "the ids of some images are numbers, of others texts"),
    (lambda d: d["images"][1].update(id=None), "an image's id is a number or a text, got None"),
    (lambda d: d["annotations"][0].update(image_id="1"), "is of image '1', which is not there"),
    (lambda d: d["annotations"][0].update(iscrowd=float("inf")), "iscrowd is 0 or 1, got inf"),
    (lambda d: d["annotations"][0].update(iscrowd="no"), "iscrowd is 0 or 1, got no"),
    (lambda d: d["annotations"][0].update(num_keypoints="3"), "no finite number"),
    (lambda d: each(d["annotations"], category_id=3), "none of 4 is of category 1, which has the joints, but of 3"),
    (lambda d: d["categories"][0].update(keypoints=["a", "b", "a"]), "names a joint twice"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(changed, act, words):
    with pytest.raises(DataError, match=words) as error:
        changed(act)
    assert "\n" not in str(error.value)


# -- areas, counts, boxes, categories --------------------------------------------------------------------------
def test_an_area_of_0_is_taken_as_missing_and_said(changed):
    with pytest.warns(DataWarning, match="4 of 4 people have an area of 0; 0.53 of their box") as said:
        data, results = changed(lambda d: each(d["annotations"], area=0))
    assert len(said) == 1
    first = data.annotations[0]
    assert first["area"] == pytest.approx(0.53 * first["bbox"][2] * first["bbox"][3])
    near = [{**r, "keypoints": [v + 1 if i % 3 == 0 else v for i, v in enumerate(r["keypoints"])]} for r in results]
    assert score_coco(near, data)["ap"] > 0.5, "of no area, nothing but the very pixel is right"


def test_joints_that_nobody_counted_are_counted_and_said(changed):
    with pytest.warns(DataWarning, match="num_keypoints is 0 of everybody"):
        data, results = changed(lambda d: each(d["annotations"], num_keypoints=0))
    assert score_coco(results, data)["ap"] == 1.0 and score_recall(results, data)["people"] == 4


def test_who_is_not_counted_beside_others_who_are_stays_so(changed):
    """CrowdPose counts no heads and necks, and leaves people of whom only these are seen out of its metrics."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data, _ = changed(lambda d: d["annotations"][0].update(num_keypoints=0))
    assert [a["num_keypoints"] for a in data.annotations] == [0, 3, 3, 3]


def test_boxes_of_0_are_said_and_their_people_counted(changed):
    def act(d):
        each(d["annotations"], bbox=[0, 0, 0, 0], area=0)
        each(d["images"], crowdIndex=0.5)

    with pytest.warns(DataWarning) as said:
        data, results = changed(act)
    assert sorted("without an area" in str(w.message) for w in said) == [False, True]
    near = [{**r, "keypoints": [v + 0.5 if i % 3 == 0 else v for i, v in enumerate(r["keypoints"])]} for r in results]
    assert score_coco(near, data)["ap"] > 0.5 and score_crowdpose(near, data)["ap"] > 0.5
    with pytest.warns(DataWarning), pytest.raises(DataError, match="and a box with an area: give a detector"):
        evaluate(SpotNetwork(), "coco", data.root, "val", flip=False, device="cpu")


def test_other_categories_are_left_out_in_words(changed):
    with pytest.warns(DataWarning, match="annotations: 1 of 4 are not of category 1"):
        data, results = changed(lambda d: d["annotations"][3].update(category_id=2, keypoints=[]))
    with pytest.warns(DataWarning, match="the results: results: 1 of 4 are not of category 1"):
        assert len(read_results([{**results[0], "category_id": 9}, *results[1:]], data)) == 3
    with pytest.raises(DataError, match="none of 4 is of category 1, which has the joints, but of 0"):
        read_results([{**r, "category_id": 0} for r in results], data)
    assert len(read_results([{k: v for k, v in r.items() if k != "category_id"} for r in results], data)) == 4


# -- images of one name --------------------------------------------------------------------------------------
def test_images_of_one_stem_are_kept_apart_or_refused(changed):
    data, _ = changed(lambda d: each(d["images"], file_name=lambda n: f"{'ab'[n % 2]}/{n // 2}.png"))
    folder = data.folder
    for name in ("a/0.png", "b/0.png", "a/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / "000001.png").read_bytes())
    assert [data.image(i).relative_to(folder).as_posix() for i in (1, 2, 3)] == ["a/0.png", "b/0.png", "a/1.png"]
    (folder / "b" / "0.png").rename(folder / "0.png")
    with pytest.raises(DataError, match=r"0.png could be b/0.png or another image of .* that is called 0"):
        data.image(2)
    data, _ = changed(lambda d: each(d["images"], file_name=lambda n: f"{n}.jpg"))
    for suffix in ("png", "bmp"):
        (folder / f"1.{suffix}").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image 1.jpg in .*, but 1.bmp and 1.png"):
        data.image(2)
    (folder / "1.jpg").write_bytes(b"")
    assert data.image(2).name == "1.jpg"


# -- names of joints -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("left", "right"), [
    ("left_eye", "right_eye"), ("L_Eye", "R_Eye"), ("Left Eye", "Right Eye"), ("eye_l", "eye_r"),
    ("leftEye", "rightEye"), ("l-wrist", "r-wrist"), ("LShoulder", "RShoulder"), ("lefteye", "righteye"),
    ("EyeLeft", "EyeRight"), ("LEFT_EYE", "RIGHT_EYE"), ("l.eye.2", "r.eye.2"), ("L", "R"), ("глаз_left", "глаз_right"),
])  # fmt: skip
def test_left_and_right_are_known_however_they_are_spelled(left, right):
    assert flip_pairs_of((right, "nose", left, "bridge", "lip")) == ((2, 0),)


def test_known_data_sets_partners_are_found_by_name_and_nothing_is_made_up():
    for labels in (COCO, CROWDPOSE, LSP):
        assert {frozenset(p) for p in flip_pairs_of(labels.names)} == {frozenset(p) for p in labels.flip_pairs}
    assert not [d for d in DATASETS.values() if not d.sigmas and flip_pairs_of(d.names)]
    assert flip_pairs_of(("left_eye", "right_ear", "lip", "rip", "1", "2")) == ()


def test_without_partners_images_are_not_mirrored(changed):
    names = ["left_a", "paw", "nose"]
    data, _ = changed(lambda d: d["categories"][0].update(keypoints=names))
    with pytest.warns(DataWarning, match="joints name no left and right|joint 'left_a' has no partner"):
        source = KeypointSource(str(data.root), "val", Augmentation(flip=1.0))
    assert source.augmentation.flip == 0
    with pytest.warns(DataWarning, match="not mirrored"):
        assert BottomUpSource(str(data.root), "val", RandomAffine(flip=1.0)).augmentation.flip == 0
    kept = Augmentation(flip=1.0)
    assert mirrored_where_known(kept, COCO) is kept
    with pytest.warns(DataWarning, match="the joints name no left and right"):
        assert mirrored_where_known(kept, Labels("own", ("paw", "tail"))).flip == 0


# -- train and val ---------------------------------------------------------------------------------------------
def reordered(path, order, names=None):
    data = json.loads(path.read_text())
    category = data["categories"][0]
    category["keypoints"] = [(names or category["keypoints"])[i] for i in order]
    category["sigmas"] = [category["sigmas"][i] for i in order]
    category["skeleton"] = []
    for a in data["annotations"]:
        a["keypoints"] = np.reshape(a["keypoints"], (-1, 3))[order].ravel().tolist()
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(("task", "changes"), [(PoseTask, {}), (BottomUpTask, {"more_roots": ()})])
def test_a_validation_in_another_order_of_joints_is_brought_into_the_trainings(recipe, tmp_path, task, changes):  # noqa: F811
    folder = tmp_path / "mixed"
    coco_form(folder, PEOPLE, split="train")
    path = coco_form(folder, PEOPLE[:2])
    before = KeypointSet(path)
    reordered(path, [2, 0, 1])
    recipe = recipe.changed(root=str(folder), **changes)
    made = task(recipe, torch.device("cpu"))
    assert made.val.labels.names == made.labels.names == before.labels.names
    assert [a["keypoints"] for a in made.val.annotations] == [a["keypoints"] for a in before.annotations]
    assert made.val.labels.sigmas == before.labels.sigmas
    reordered(path, [0, 1, 2], ["left_a", "right_a", "tail"])
    with pytest.raises(DataError, match="has the joints left_a, right_a, tail; wanted are left_a, right_a, nose"):
        task(recipe, torch.device("cpu"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    reordered(path, [0, 1, 2], ["left_a", "right_a", "nose"])
    with pytest.raises(DataError, match="validate on"):
        task(recipe, torch.device("cpu"))
