"""Composed samples: who is where is known or masked, joints are named alike, and everything repeats."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from scalenet.archs.arch import SearchSpace
from scalenet.data import DataError
from scalenet.data.images import ORIENTATION
from scalenet.data.keypoints import KeypointSet
from scalenet.data.labels import COCO, COCO_ALIGNED, LSP
from scalenet.evaluate.metrics.coco import score_coco
from scalenet.evaluate.metrics.recall import score_recall
from scalenet.models.checkpoint import read_weights
from scalenet.models.factory import load_model
from training.__main__ import main
from training.data import canvas
from training.data.backgrounds import Backgrounds, paste
from training.data.bottomup import targets
from training.data.crowds import LABELS, CrowdSource, write_crowds
from training.data.neighbours import find_people, squares, write_neighbours
from training.data.people import FACE, edge_bands, outline, read_people
from training.engine import Run
from training.recipes import get_recipe

from ..small_crowds import lsp_form, stanford_form, streets_form, things_form


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    stanford_form(root / "stanford")
    lsp_form(root / "lsp")
    things_form(root / "things")
    streets_form(root / "streets", 8)
    return root


def source(folders, names=("stanford", "lsp"), split="train", **options) -> CrowdSource:
    return CrowdSource(tuple(str(folders / n) for n in names), split, (str(folders / "things"),), **options)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def turned(root: Path, out: Path, tag: int) -> Path:
    """A copy of a set with JPEGs that are tagged as turned."""
    shutil.copytree(root, out)
    for path in sorted(out.glob("images/*/*.png")):
        exif = Image.Exif()
        exif[ORIENTATION] = tag
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), exif=exif, quality=95)
        path.unlink()
    return out


# -- people ------------------------------------------------------------------------------------------------
def test_photographs_are_seen_in_the_frame_of_their_joints(folders, tmp_path):
    """COCO's joints are of the image as it is stored, whatever a tag says of how it is to be turned."""
    for tag in (1, 6):
        turned(folders / "stanford", tmp_path / str(tag), tag)
    plain, tagged = (
        CrowdSource((str(tmp_path / name),), "train", (str(folders / "things"),), scenes=scenes)
        for name, scenes in (("1", 0.5), ("6", 0.5))
    )
    assert tagged.cast[0].pixels().shape == (200, 260, 3)
    for seed in range(6):
        scenes = [crowds.draw(0, rng(seed), (128, 128)) for crowds in (plain, tagged)]
        assert np.array_equal(scenes[0].image, scenes[1].image)


def test_people_of_both_sets_have_cocos_joints(folders):
    lsp, stanford = (read_people(str(folders / name), "train") for name in ("lsp", "stanford"))
    assert not lsp[0].whole and stanford[0].whole and LABELS == COCO_ALIGNED
    assert lsp[0].lacking.nonzero()[0].tolist() == [0, 1, 2, 3, 4] and not stanford[0].lacking.any()
    data = KeypointSet.open(folders / "lsp", "train")
    own = np.reshape(data.annotations[0]["keypoints"], (14, 3))
    for name in ("left_shoulder", "right_ankle"):
        assert (lsp[0].keypoints[COCO.names.index(name)] == own[LSP.names.index(name)]).all()
    assert not lsp[0].keypoints[FACE].any()
    assert [p.can_be_cut_out() for p in (lsp[0], *stanford)] == [True, True, False], "legs are beyond the edge"
    with pytest.raises(DataError, match="lacks joints of COCO's: left_shoulder"):
        read_people(str(bodyless(folders / "bodyless")), "train")


def bodyless(root):
    """A set of noses."""
    file = stanford_form(root) / "annotations" / "train.json"
    data = json.loads(file.read_text())
    data["categories"][0]["keypoints"] = ["nose"]
    for a in data["annotations"]:
        a["keypoints"] = a["keypoints"][:3]
    file.write_text(json.dumps(data))
    return root


def test_faces_that_nobody_labels_are_not_known_around_the_head(folders):
    person = read_people(str(folders / "lsp"), "train")[0]
    (part,) = person.unknown()
    assert part.joints.nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    low, high = part.outline.min(0), part.outline.max(0)
    middle = person.head.mean(0)
    assert (low < middle).all() and (middle < high).all() and (high - low < 45).all()
    headless = dataclasses.replace(person, head=None)
    (part,) = headless.unknown()
    np.testing.assert_allclose([*part.outline.min(0), *part.outline.max(0)], person.box)


def test_what_the_edge_cuts_off_is_not_known_at_the_edge(folders):
    _, cut = read_people(str(folders / "stanford"), "train")
    (part,) = [p for p in cut.unknown((200, 260)) if p.joints[-1]]
    assert part.outline[:, 1].max() >= 199 and part.outline[:, 1].min() > 150
    assert part.joints.sum() == (cut.keypoints[:, 2] == 0).sum()
    assert len(edge_bands(np.array([0, 0, 100, 100]), (100, 100))) == 4
    assert edge_bands(np.array([20, 20, 60, 60]), (100, 100))[0].tolist() == [20, 20, 60, 60]


def test_people_are_cut_out_with_all_their_joints(folders):
    for person in (read_people(str(folders / "lsp"), "train")[0], read_people(str(folders / "stanford"), "train")[0]):
        size = cv2.imread(str(person.image)).shape[:2]
        seen = person.keypoints[person.keypoints[:, 2] > 0].round().astype(int)
        for along in (True, False):
            alpha = outline(person, size, along)
            assert alpha.shape == size and (alpha[seen[:, 1], seen[:, 0]] > 0.5).all()
            assert alpha[0, 0] == 0 and 0.02 < alpha.mean() < 0.6


# -- samples -----------------------------------------------------------------------------------------------
def test_samples_of_every_kind_repeat(folders):
    data = source(folders, silence=0.3, scenes=0.5)
    kinds = set()
    for seed in range(12):
        first, second = (data.sample(seed % len(data), rng(seed), (64, 96)) for _ in range(2))
        assert all((a == b).all() for a, b in zip(first, second, strict=True))
        shapes = [(64, 96, 3), (17, 16, 24), (17, 32, 48), (17, 16, 24), (17, 32, 48), (30, 17)]
        assert [a.shape for a in first] == shapes and [a.dtype.kind for a in first] == list("uffuui")
        kinds.add("nobody" if first[1].max() == 0 else "people" if first[3].all() else "masked")
    assert "masked" in kinds and "nobody" in kinds
    assert data.load(0, (64, 64)).shape == (64, 64, 3) and (data.load(1, (64, 64)) == data.load(1, (64, 64))).all()


def test_silence_has_nobody_in_it(folders):
    data = source(folders, silence=1.0)
    for seed in range(5):
        _, coarse, fine, low, high, joints = data.sample(0, rng(seed), (64, 64))
        assert coarse.max() == fine.max() == 0 and low.all() and high.all() and (joints == -1).all()


def test_crowds_know_all_but_the_faces(folders):
    data, faces = source(folders, ("lsp",)), 0
    for seed in range(6):
        scene = data.crowd(0, rng(seed), (256, 256), 3)
        coarse, _, low, _, _ = targets(scene, LABELS)
        assert scene.mask.all() and low[5:].all() and not coarse[:5].any() and coarse[5:].any()
        faces += (low[:5] == 0).sum()
    assert faces > 100


def test_covered_joints_are_not_labelled(folders):
    data = source(folders, ("lsp",))
    covered = labelled = 0
    for seed in range(12):
        scene = data.crowd(0, rng(seed), (256, 256), 5)
        there = scene.keypoints[:, 5:, 2] > 0
        assert not scene.keypoints[:, 5:][~there].any()
        xy = scene.keypoints[:, 5:][there][:, :2]
        assert ((xy >= -0.5) & (xy <= 255.5)).all()
        labelled, covered = labelled + there.sum(), covered + (~there).sum()
    assert labelled > 3 * covered > 0


def test_people_of_whom_too_little_is_left_are_masked_where_they_are_seen(folders, monkeypatch):
    data = source(folders, ("lsp",))
    everybody = data.crowd(0, rng(1), (512, 512), 3)
    assert len(everybody.keypoints) > 1 and everybody.mask.all()
    monkeypatch.setattr(canvas, "LEAST_LEFT", 18)
    nobody = data.crowd(0, rng(1), (512, 512), 3)
    assert len(nobody.keypoints) == 0 and (nobody.image == everybody.image).all()
    joints = everybody.keypoints[everybody.keypoints[..., 2] > 0].round().astype(int)
    assert nobody.mask[joints[:, 1], joints[:, 0]].mean() < 0.05, "where they are, nothing is known"
    assert 0.2 < nobody.mask.mean() < 1, "and the background is nobody"


def test_mirrored_people_keep_their_sides(folders):
    """In the figures the left side is at larger x than the right one; mirrored, it still is what is labelled left."""
    data = source(folders)
    left, right = (LABELS.names.index(f"{side}_shoulder") for side in ("left", "right"))
    for seed in range(8):
        for scene in (data.crowd(2, rng(seed), (256, 256), 1), data.photograph(0, rng(seed), (256, 256))):
            if len(scene.keypoints) and (scene.keypoints[0, [left, right], 2] > 0).all():
                assert scene.keypoints[0, left, 0] > scene.keypoints[0, right, 0]


# -- whole photographs -------------------------------------------------------------------------------------
def test_photographs_show_their_person_and_mask_the_rest(folders):
    data = source(folders, ("stanford",), scenes=1.0)
    for seed in range(8):
        scene = data.photograph(0, rng(seed), (256, 256))
        joints = scene.keypoints[scene.keypoints[..., 2] > 0].round().astype(int)
        assert len(scene.keypoints) == 1 and scene.mask[joints[:, 1], joints[:, 0]].all()
        yellow = scene.image[joints[5:, 1], joints[5:, 0]]
        assert np.median(yellow[:, 0]) > 150 and np.median(yellow[:, 2]) < 120, "limbs are yellow"
        beside = (scene.mask == 0) & (scene.image.max(2) > 0)
        assert beside.mean() > 0.1 and scene.mask[scene.image.max(2) == 0].mean() > 0.8


def test_mosaics_show_small_people_each_in_a_part_of_its_own(folders):
    data, counts = source(folders, ("stanford",), scenes=1.0, mosaic=1.0), set()
    for seed in range(8):
        scene = data.draw(0, rng(seed), (240, 320))
        counts.add(len(scene.keypoints))
        assert scene.image.shape == (240, 320, 3) and scene.mask.shape == (240, 320) and (scene.mask == 0).any()
        for person in scene.keypoints:
            xy = person[person[:, 2] > 0, :2]
            assert (np.ptp(xy, axis=0) < [0.63 * 320, 0.63 * 240]).all(), "nobody reaches over a part's edge"
            assert (xy >= -0.5).all() and (xy < [320, 240]).all() and not person[person[:, 2] == 0].any()
        for part in scene.unknown:
            assert (part.outline >= -0.5).all() and (part.outline < [320, 240]).all()
    assert max(counts) > 9


def test_small_views_of_an_image_are_halved_first():
    image = np.zeros((65, 96, 3), np.uint8)
    image[20:24, 40:44] = 255
    matrix = np.array([[0.35, 0, 3], [0, 0.35, 2.0]])
    smaller, moved = canvas.halved(image, matrix)
    assert smaller.shape == (32, 48, 3) and np.allclose(moved[:, :2], 2 * matrix[:, :2])
    corner = np.array([21.5, 41.5])  # of the image, as y, x, is at (21.5 - 0.5) / 2 of the smaller one
    old = matrix @ [corner[1], corner[0], 1]
    assert np.allclose(moved @ [(corner[1] - 0.5) / 2, (corner[0] - 0.5) / 2, 1], old)
    assert canvas.halved(image, matrix * 3)[0] is image


def test_photographs_with_known_neighbours_mask_only_these(folders, tmp_path):
    file = tmp_path / "neighbours.json"
    file.write_text(json.dumps({"1": [[10, 20, 60, 120]], "2": []}))
    data = source(folders, ("stanford", "lsp"), scenes=1.0, neighbours=str(file))
    shares = []
    for seed in range(6):
        scene = data.photograph(0, rng(seed), (256, 256))
        coarse, _, low, _, _ = targets(scene, LABELS)
        assert scene.mask.all() and low[coarse > 0].all()
        shares.append((low == 0).mean())
    assert max(shares) > 0.02 and max(shares) < 0.6
    for seed in range(2):
        assert targets(data.photograph(1, rng(seed), (256, 256)), LABELS)[3][:5].all()
    file.write_text(json.dumps({"1": []}))
    with pytest.raises(DataError, match="does not know image 2: make it with python -m training neighbours"):
        source(folders, ("stanford",), neighbours=str(file))
    with pytest.raises(DataError, match=r"scenes=0\.5 needs whole photographs"):
        source(folders, ("lsp",), scenes=0.5)


def test_crowds_on_a_photograph_keep_its_person(folders):
    data, most = source(folders), 0
    for seed in range(6):
        scene = data.crowd(1, rng(seed), (256, 256), 3)  # cut off, so it is always on its photograph
        coarse, _, low, _, _ = targets(scene, LABELS)
        most = max(most, len(scene.keypoints))
        assert (scene.mask == 0).any()
        joints = scene.keypoints[scene.keypoints[..., 2] > 0].round().astype(int)
        assert scene.mask[joints[:, 1].clip(0, 255), joints[:, 0].clip(0, 255)].mean() > 0.9
        assert low.shape == coarse.shape
    assert most > 1


def test_neighbours_are_whoever_is_found_beside_the_labelled(folders, tmp_path):
    def find(image):
        return np.array([[*own, 0.9], [5, 5, 40, 60, 0.2], [own[0] + 5, own[1] + 5, own[0] + 20, own[1] + 30, 0.5]])

    for n, person in enumerate(read_people(str(folders / "stanford"), "train"), 1):
        own = person.box
        found = find_people([find, lambda image: []], str(folders / "stanford"), "train")
        assert set(found) == {"1", "2"}
        assert [5.0, 5.0, 35.0, 55.0] in found[str(n)] and len(found[str(n)]) == 1
    other = [[0, 0, 44, 62], [60, 5, 90, 30]]  # the first finder saw somebody in one of these alone
    for confirm, count in ((False, 3), (True, 2)):
        found = find_people([find, lambda image: other], str(folders / "stanford"), "train", confirm=confirm)
        assert len(found["2"]) == count
    found = find_people([find], str(folders / "stanford"), "train")
    write_neighbours([find], str(folders / "stanford"), "train", tmp_path / "n.json")
    assert json.loads((tmp_path / "n.json").read_text())["2"] == found["2"]


def test_masks_of_people_become_squares():
    mask = np.zeros((50, 61), bool)
    mask[12:24, 0:13] = True
    assert squares(mask).tolist() == [[0, 12, 12, 24]]
    mask[12:24, 12:15] = True
    assert squares(mask).tolist() == [[0, 12, 12, 24], [12, 12, 24, 24]]


# -- backgrounds -------------------------------------------------------------------------------------------
def test_backgrounds_leave_out_what_people_wear(folders):
    things = Backgrounds((str(folders / "things"),), "train")
    assert len(things) == 3
    for seed in range(5):
        image, mask = things.draw(rng(seed), (96, 128))
        assert image.shape == (96, 128, 3) and mask.shape == (96, 128) and mask.all()
    with pytest.raises(DataError, match="crowds need backgrounds"):
        Backgrounds((), "train")
    with pytest.raises(DataError, match="no backgrounds in"):
        Backgrounds((str(folders / "lsp" / "annotations"),), "train")


def test_pedestrians_of_streets_are_masked(folders, tmp_path):
    streets = Backgrounds((str(folders / "streets"),), "train")
    for seed in range(10):
        image, mask = streets._place(rng(seed), (96, 128))
        red = (image[..., 0] > 200) & (image[..., 1] < 100)
        assert not mask[red].any() and mask.mean() > 0.6
    with pytest.raises(DataError, match="no backgrounds in"):
        Backgrounds((str(streets_form(tmp_path / "full", 200)),), "train")


def test_pasting_keeps_within_the_canvas():
    canvas_, over = np.zeros((10, 12, 3), np.uint8), np.full((6, 6, 3), 200, np.uint8)
    alpha = np.ones((6, 6), np.float32)
    assert paste(canvas_, over, alpha, (-2, 9)) == np.s_[0:4, 9:12]
    assert (canvas_[:4, 9:] >= 199).all() and canvas_.astype(int).sum() <= 200 * 3 * 12
    paste(canvas_, over, 0.5 * alpha, (4, 0))
    assert abs(int(canvas_[5, 2, 0]) - 100) <= 1
    before = canvas_.copy()
    paste(canvas_, over, alpha, (40, 40))
    assert (canvas_ == before).all()


# -- validation --------------------------------------------------------------------------------------------
def test_written_crowds_are_a_data_set(folders, tmp_path):
    out, things = tmp_path / "crowds", str(folders / "things")
    roots = [str(folders / "stanford"), "--more", str(folders / "lsp")]
    assert main(["crowds", *roots, "--backgrounds", things, "-o", str(out), "--count", "6"]) == 0
    data = KeypointSet.open(out, "val")
    assert len(data.images) == 6 and data.labels == COCO and data.image(1).is_file()
    for a in data.annotations:
        assert a["area"] == pytest.approx(0.53 * a["bbox"][2] * a["bbox"][3], abs=2)
        assert a["num_keypoints"] == sum(v > 0 for v in a["keypoints"][2::3]) >= 4
    perfect = [{"image_id": a["image_id"], "keypoints": a["keypoints"], "score": 1.0} for a in data.annotations]
    assert score_coco(perfect, data)["ap50"] == pytest.approx(1)
    again = CrowdSource(tuple(roots[::2]), "val", (things,)).validation(3)[1]
    assert [p["keypoints"] for p in again] == [a["keypoints"] for a in data.annotations if a["image_id"] == 3]
    with pytest.raises(DataError, match="exists already"):
        write_crowds(tuple(roots[::2]), "val", (things,), out, 4)


def test_recall_is_of_the_labelled(folders):
    data = KeypointSet.open(folders / "stanford", "val")
    first, second = data.annotations
    result = {"image_id": first["image_id"], "keypoints": first["keypoints"], "score": 0.1}
    others = {**result, "keypoints": [v + 50 for v in first["keypoints"]]}
    assert score_recall([], data) == {"recall": 0, "people": 2}
    assert score_recall([others, result], data) == {"recall": 0.5, "people": 2}
    assert score_recall([others, result], data, [first["image_id"]]) == {"recall": 1, "people": 1}
    assert score_recall([others], data, [second["image_id"]])["recall"] == 0
    assert score_recall([result], data, []) == {"recall": None, "people": 0}


@pytest.mark.parametrize("mode", ["standalone", "supernet"])
def test_training_runs_and_is_scored(folders, tmp_path, mode):
    space = SearchSpace("pose", 8, (32, 24), 24, 16, (1, 1, 1), (1, 2))
    changes = ["steps=2", "minutes=0", "batch=2", "size=64,64", "early_size=64,64", "device=cpu", "arch=hrnet", "init="]
    changes += [f"root={folders / 'stanford'}", f"more_roots={folders / 'lsp'}", f"backgrounds={folders / 'things'}"]
    changes += ["classes=17", "silence=0.2", "scenes=0.4", "people=1,8", f"out={tmp_path / 'run'}"]
    run = Run(get_recipe("p0_bottomup", changes).changed(space=space, mode=mode))
    evaluate = run.task.evaluate
    run.task.evaluate = lambda model, **options: evaluate(model, limit=2, **options)
    torch.set_num_threads(1)
    run.run()
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["final"]) == {"ap", "ap50", "ap75", "apm", "apl", "ar"}
    check_packing(tmp_path / "run" / "final.safetensors", tmp_path / "packed.safetensors", mode)


def check_packing(file, packed, mode):
    """What ships is half as large; a single network is described as a deployed one is, a supernet by its space."""
    assert main(["pack", str(file), "-o", str(packed), "--terms", "for tests", "--dataset", "crowds"]) == 0
    state, metadata = read_weights(packed)
    assert state["conv1.weight"].dtype == torch.float16 and metadata["license"] == "for tests"
    if mode == "supernet":
        assert "space" in metadata
        return
    model = load_model(packed)
    assert model.arch.input_size == (64, 64), "what it was trained for, not the space's"
    assert model.task == "bottomup" and model.labels.names == COCO.names and model.labels.convention == "aligned"
    assert set(json.loads(metadata["figures"])) == {"crowds"} and json.loads(metadata["datasets"])[0] == "crowds"
    assert main(["pack", str(packed), "-o", str(packed)]) == 2
