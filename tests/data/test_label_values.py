"""Masks as they come: what is no class is named, what does not fit is found before the work, odd files are left out."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from scalenet.data import DataError, DataWarning
from scalenet.data.images import ImageError
from scalenet.data.labels import PERSON
from scalenet.data.segmentation import decode_label, find_pairs, read_label
from scalenet.evaluate import segmentation
from scalenet.evaluate.segmentation import evaluate
from scalenet.runtime.command_line import warning_line
from training.__main__ import main
from training.checks import RecipeError
from training.data import make_loader
from training.data.backgrounds import Backgrounds
from training.data.bottomup import RandomAffine
from training.data.photographs import read_images
from training.data.segmentation import SegmentationSource, check_pairs
from training.tasks import SegmentationTask

from ..small_data import camvid_form
from ..small_networks import small_network

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path):
    return camvid_form(tmp_path / "data", train=4, val=3)


def relabel(root, split, change):
    for path in sorted((root / "labels" / split).iterdir()):
        cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def said(act) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        act()
    return [str(w.message) for w in found if issubclass(w.category, DataWarning)]


# -- values ----------------------------------------------------------------------------------------------------
def test_values_that_are_no_class_are_named_with_their_share(recipe, data):
    recipe = recipe.changed(root=str(data))
    assert said(lambda: SegmentationTask(recipe, CPU)) == []
    relabel(data, "val", lambda label: np.where(label == 255, 255, label * 20).astype(np.uint8))
    strange, absent = said(lambda: SegmentationTask(recipe, CPU))
    assert "labels of val in" in strange and all(f" {v} (" in strange for v in (20, 40))
    assert strange.endswith("are none of the classes 0 to 2 and do not count")
    assert "class 1, 2 occurs in none of the 3 labels looked at; 1.6 % are 255, which does not count" in absent


def test_masks_of_0_and_255_and_indices_from_1(data):
    pairs = find_pairs(data, "val")
    relabel(data, "val", lambda label: np.where(label == 1, 255, 0).astype(np.uint8))
    (absent,) = said(lambda: check_pairs(pairs, 2, "masks"))
    assert "masks: class 1 occurs in none of the 3 labels" in absent and "% are 255, which does not count" in absent
    relabel(data, "val", lambda label: np.where(label == 0, 1, 3).astype(np.uint16))
    strange, absent = said(lambda: check_pairs(pairs, 3, "masks"))
    assert "masks: values 3 (" in strange and "class 0, 2 occurs in none" in absent


def test_an_evaluation_says_it_too(tmp_path):
    root = camvid_form(tmp_path / "things", train=1, val=3, classes=2)
    relabel(root, "val", lambda label: np.where(label == 0, 0, 9).astype(np.uint8))
    strange, absent = said(lambda: evaluate(small_network(labels=PERSON), "folder", root))
    assert "values 9 (" in strange and "class 1 occurs in none of the 3 labels" in absent


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_masks_saved_in_colour_with_one_value_per_pixel_are_masks(tmp_path, mode):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(values).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", 12), values)
    colours = np.stack([values, values, values + 1], -1)
    Image.fromarray(colours).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="not a single-channel label image"):
        decode_label((tmp_path / "b.png").read_bytes(), "b.png")


def test_grey_images_and_images_of_one_colour_are_images(recipe, data):
    for n, path in enumerate(sorted((data / "images" / "train").iterdir())):
        Image.fromarray(np.full((64, 80), 90 * (n % 3), np.uint8)).save(path)
    source = SegmentationSource(str(data), "train", 3, mix=1.0, dusk=1.0)
    for seed in range(12):
        image, label = source.sample(seed % 4, np.random.default_rng(seed), (32, 32))
        assert image.shape == (32, 32, 3) and label.shape == (32, 32)


# -- sizes and damage --------------------------------------------------------------------------------------------
def turn(path):
    """Say in the EXIF data of an image that it is to be turned by 90 degrees."""
    image = Image.open(path)
    exif = image.getexif()
    exif[274] = 6
    image.save(path, exif=exif)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_mask_of_another_size_is_found_before_the_training(recipe, data, split):
    turn(data / "images" / split / "p2.jpg")
    words = r"p2.png is \(64, 80\), its image .*p2.jpg \(80, 64\), turned as its EXIF data say"
    with pytest.raises(DataError, match=words):
        SegmentationTask(recipe.changed(root=str(data)), CPU)
    label = data / "labels" / split / "p2.png"
    cv2.imwrite(str(label), cv2.rotate(cv2.imread(str(label), cv2.IMREAD_UNCHANGED), cv2.ROTATE_90_CLOCKWISE))
    SegmentationTask(recipe.changed(root=str(data)), CPU)


def test_a_mask_of_another_size_is_found_before_the_evaluation(tmp_path, monkeypatch):
    root = camvid_form(tmp_path / "things", train=1, val=3, classes=2)
    turn(root / "images" / "val" / "p2.jpg")
    monkeypatch.setattr(segmentation.Segmenter, "stream", lambda *args: pytest.fail("it began"))
    with pytest.raises(DataError, match="turned as its EXIF data say"):
        evaluate(small_network(labels=PERSON), "folder", root)


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_a_damaged_validation_is_found_before_the_training(recipe, data, kind):
    path = sorted((data / kind / "val").iterdir())[2]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises((DataError, ImageError), match=path.name):
        SegmentationTask(recipe.changed(root=str(data)), CPU)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_in_a_loaders_process_is_one_line_that_names_it(data, workers):
    source = SegmentationSource(str(data), "train", 3)
    for path in (data / "images" / "train").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError) as error:
        next(iter(make_loader(source, 2, lambda step: (32, 32), workers=workers)))
    text = str(error.value)
    assert text.count("\n") == 0 and text.startswith(str(data)) and text.endswith("is not an image that can be read")


# -- names of files ----------------------------------------------------------------------------------------------
def test_hidden_files_are_left_out(data, tmp_path):
    for kind in ("images", "labels"):
        (data / kind / "val" / "._p0.jpg").write_bytes(b"a Mac's")
        (data / kind / "val" / ".ipynb_checkpoints").mkdir()
        (data / kind / "val" / ".ipynb_checkpoints" / "p0-checkpoint.png").write_bytes(b"an editor's")
    assert [p.stem for p, _ in find_pairs(data, "val")] == ["p0", "p1", "p2"]
    assert [Path(name).stem for name, _ in read_images(str(data), "val")] == ["p0", "p1", "p2"]
    assert len(Backgrounds((str(data),), "images").things) == 7, "as an ImageFolder of the classes train and val"
    assert main(["prepare", str(data), "-o", str(tmp_path / "small"), "--long-side", "40"]) == 0
    assert len([p for p in (tmp_path / "small").rglob("*") if p.is_file()]) == 14


def test_two_files_of_one_name_are_refused_by_both(data, tmp_path, capsys):
    copy = data / "images" / "val" / "p0.png"
    copy.write_bytes((data / "labels" / "val" / "p0.png").read_bytes())
    with pytest.raises(DataError, match=r"p0.jpg and .*p0.png are called alike"):
        find_pairs(data, "val")
    assert main(["prepare", str(data), "-o", str(tmp_path / "small")]) == 2
    error = capsys.readouterr().err
    assert "images/val/p0.jpg and images/val/p0.png would both become images/val/p0.jpg" in error
    assert not (tmp_path / "small").exists()
    copy.rename(data / "labels" / "val" / "p0.bmp")
    with pytest.raises(DataError, match="are called alike"):
        find_pairs(data, "val")


# -- settings ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("changes", "words"), [
    ({"scale": (0.0, 0.0)}, "scale is the least and the most, above 0, got 0.0,0.0"),
    ({"scale": (2.0, 0.5)}, "got 2.0,0.5"), ({"scale": (0.5, float("inf"))}, "got 0.5,inf"),
    ({"classes": 0}, "classes is at least 1, got 0"), ({"ohem": 10.0}, "ohem is from 0 to 1, got 10.0"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused_before_the_data_is_read(recipe, changes, words):
    with pytest.raises((DataError, RecipeError), match=words):
        SegmentationTask(recipe.changed(**changes), CPU)


def test_a_scale_of_0_is_refused_for_whole_images_too():
    from training.data.bottomup import BottomUpSource

    with pytest.raises(DataError, match="got 0x0"):
        BottomUpSource("/nowhere", "train", RandomAffine(scale=(0.0, 0.0)))


def test_the_index_after_the_classes_is_unlabelled_by_custom(data, capsys):
    pairs = find_pairs(data, "val")
    relabel(data, "val", lambda label: (np.arange(label.size).reshape(label.shape) % 4).astype(np.uint8))
    assert said(lambda: check_pairs(pairs, 3, "masks")) == []
    (strange,) = said(lambda: check_pairs(pairs, 2, "masks"))
    assert "values 3 (" in strange and " 2 (" not in strange
    assert warning_line(DataWarning("a\nb"), DataWarning, "file.py", 3) == "warning: a b\n"
