"""Re-architecture a data set small: images shrink, labels stay indices, tars unpack, nothing half-done appears."""

import tarfile

import cv2
import numpy as np
import pytest

from training.__main__ import main
from training.data import DataError
from training.data.classification import ClassificationSource
from training.data.segmentation import SegmentationSource

from ..small_data import camvid_form, photographs
from ..small_pose import coco_form, person


def test_pairs_shrink_together(tmp_path):
    camvid_form(tmp_path / "data")
    (tmp_path / "data" / "classes.txt").write_text("a\nb\nc\n")
    assert main(["prepare", str(tmp_path / "data"), "-o", str(tmp_path / "small"), "--long-side", "40"]) == 0
    assert (tmp_path / "small" / "classes.txt").read_text() == "a\nb\nc\n"
    image, label = SegmentationSource(str(tmp_path / "small"), "val", 3).load(0)
    assert image.shape == (32, 40, 3) and label.shape == (32, 40) and set(np.unique(label)) <= {0, 1, 2, 255}


def test_camvids_own_form_and_what_a_broken_run_left(tmp_path):
    camvid_form(tmp_path / "data")
    own = tmp_path / "own"
    own.mkdir()
    for split in ("train", "val"):
        (tmp_path / "data" / "images" / split).rename(own / split)
        (tmp_path / "data" / "labels" / split).rename(own / f"{split}annot")
    (tmp_path / ".small.partial" / "old").mkdir(parents=True)
    (tmp_path / ".small.partial" / "old" / "x.jpg").write_bytes(b"of another folder")
    assert main(["prepare", str(own), "-o", str(tmp_path / "small"), "--long-side", "40"]) == 0
    assert not (tmp_path / "small" / "old").exists()
    label = cv2.imread(str(next((tmp_path / "small" / "valannot").iterdir())), cv2.IMREAD_UNCHANGED)
    assert label.shape == (32, 40) and set(np.unique(label)) <= {0, 1, 2, 255}


def test_tars_become_an_image_folder(tmp_path):
    (tmp_path / "data").mkdir()
    photo = tmp_path / "a.png"
    cv2.imwrite(str(photo), photographs()[0][:50, :60])
    with tarfile.open(tmp_path / "data" / "train.tar", "w") as tar:
        tar.add(photo, "n1/a.png")
        tar.add(photo, "../../n2/b.png")
    from_tar = ClassificationSource(str(tmp_path / "data"), "train")
    assert main(["prepare", str(tmp_path / "data"), "-o", str(tmp_path / "small")]) == 0
    unpacked = ClassificationSource(str(tmp_path / "small"), "train")
    assert from_tar.classes == 2 and len(unpacked) == 1, "a member that climbs out of its folder is left out"
    image, label = unpacked.sample(0, np.random.default_rng(0), (32, 32))
    assert image.shape == (32, 32, 3) and label == 0


@pytest.mark.parametrize("kind", ["empty", "exists", "text"])
def test_bad_input(tmp_path, kind, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    if kind == "exists":
        out.mkdir()
    if kind == "text":
        (data / "a.jpg").write_text("hello")
    assert main(["prepare", str(data), "-o", str(out)]) == 2
    assert "error:" in capsys.readouterr().err
    assert out.exists() == (kind == "exists")


def test_a_damaged_tar_is_said(tmp_path, capsys):
    (tmp_path / "train.tar").write_bytes(b"no tar file" * 100)
    assert main(["prepare", str(tmp_path), "-o", str(tmp_path / "small")]) == 2
    assert "train.tar is damaged or no tar file" in capsys.readouterr().err
    with pytest.raises(DataError, match="damaged or no tar file"):
        ClassificationSource(str(tmp_path), "train")


def test_cityscapes_keeps_the_labels_that_are_read(tmp_path):
    data = tmp_path / "gtFine" / "cityscapes"  # a folder of that name above it means nothing
    for folder in ("leftImg8bit/val/aachen", "gtFine/val/aachen"):
        (data / folder).mkdir(parents=True)
    name = "aachen_000000_000019"
    cv2.imwrite(str(data / "leftImg8bit/val/aachen" / f"{name}_leftImg8bit.png"), photographs()[0][:64, :80])
    label = np.full((64, 80), 7, np.uint8)
    cv2.imwrite(str(data / "gtFine/val/aachen" / f"{name}_gtFine_labelIds.png"), label)
    cv2.imwrite(str(data / "gtFine/val/aachen" / f"{name}_gtFine_color.png"), photographs()[0][:64, :80])
    assert main(["prepare", str(data), "-o", str(tmp_path / "small"), "--long-side", "40"]) == 0
    image, label = SegmentationSource(str(tmp_path / "small"), "val", 19).load(0)
    assert image.shape == (32, 40, 3) and (label == 0).all()  # 7 is road, class 0
    assert len(list((tmp_path / "small" / "gtFine").rglob("*.png"))) == 1


def test_annotated_people_are_not_shrunk(tmp_path, capsys):
    coco_form(tmp_path / "data", [[person(10, 10, 20)]])
    assert main(["prepare", str(tmp_path / "data"), "-o", str(tmp_path / "small")]) == 2
    assert "holds annotation files" in capsys.readouterr().err and not (tmp_path / "small").exists()
