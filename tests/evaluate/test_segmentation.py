"""mIoU over folders in every known form, against counting by hand; wrong folders."""

import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from scalenet import Segmenter, cli
from scalenet.data import DataError
from scalenet.data.labels import CAMVID, CITYSCAPES, LSP, PERSON, Labels
from scalenet.data.segmentation import find_pairs, read_label
from scalenet.evaluate.metrics.miou import ConfusionMatrix
from scalenet.evaluate.segmentation import evaluate

from ..small_data import camvid_form
from ..small_networks import sample_image, small_network, write


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return small_network()


@pytest.fixture
def root(tmp_path):
    return camvid_form(tmp_path / "camvid", train=1, val=3, size=(64, 80), classes=11)


def by_hand(net, pairs) -> tuple[float, dict[str, float | None], float]:
    """The definition: intersection over union per class over all labelled pixels together."""
    masks = np.concatenate([Segmenter(net, resize=False)(p).mask.ravel() for p, _ in pairs])
    labels = np.concatenate([read_label(q, net.num_classes).ravel() for _, q in pairs])
    masks, labels = masks[labels != 255], labels[labels != 255]
    ious = {}
    for i, name in enumerate(net.labels.names):
        union = ((masks == i) | (labels == i)).sum()
        ious[name] = ((masks == i) & (labels == i)).sum() / union if union else None
    return np.mean([v for v in ious.values() if v is not None]), ious, (masks == labels).mean()


def test_metrics_are_those_counted_by_hand(net, root):
    result = evaluate(net, "camvid", root, "val")
    miou, per_class, accuracy = by_hand(net, find_pairs(root, "val"))
    assert result["images"] == 3 and result["flip"] is False and result["seconds"] >= 0
    assert result["miou"] == pytest.approx(miou) and result["pixel_accuracy"] == pytest.approx(accuracy)
    assert list(result["per_class"]) == list(CAMVID.names)
    assert result["per_class"] == pytest.approx(per_class)


def test_a_class_that_is_neither_there_nor_predicted_does_not_count():
    matrix = ConfusionMatrix(4)
    matrix.update(np.array([[0, 0, 1, 3]]), np.array([[0, 1, 1, 255]]))
    np.testing.assert_equal(matrix.iou(), [0.5, 0.5, np.nan, np.nan])
    assert matrix.miou() == 0.5 and matrix.pixel_accuracy() == pytest.approx(2 / 3)
    matrix.update(np.array([[3]]), np.array([[0]]))
    np.testing.assert_equal(matrix.iou(), [1 / 3, 0.5, np.nan, 0])
    assert matrix.miou() == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)
    with pytest.raises(ValueError, match="differ in size"):
        matrix.update(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_limit_flip_and_checkpoint(net, root, tmp_path):
    plain, flipped = (evaluate(net, "camvid", root, limit=2, flip=f) for f in (False, True))
    assert plain["images"] == flipped["images"] == 2 and plain["miou"] != flipped["miou"]
    assert flipped["miou"] == evaluate(net, "camvid", root, limit=2, flip=True, batch_size=2)["miou"]
    torch.manual_seed(1)
    other = write(small_network(), tmp_path / "other.safetensors")
    original = write(net, tmp_path / "net.safetensors")
    assert evaluate(original, "camvid", root)["miou"] == pytest.approx(evaluate(net, "camvid", root)["miou"], abs=1e-3)
    assert evaluate(original, "camvid", root, checkpoint=other)["miou"] != evaluate(net, "camvid", root)["miou"]


def test_images_and_labels_pair_by_stem_in_camvids_own_form(root, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(root / "images" / "val", own / "test")
    shutil.copytree(root / "labels" / "val", own / "testannot")
    first = sorted((own / "test").iterdir())[0]
    cv2.imwrite(str(first.with_suffix(".png")), cv2.imread(str(first)))
    first.unlink()
    assert [(p.stem, q.stem) for p, q in find_pairs(own, "test")] == [(f"p{i}", f"p{i}") for i in range(3)]


@pytest.fixture
def cityscapes(tmp_path):
    """Two cities of one image; the label walks through Cityscapes' own ids 0..33."""
    root = tmp_path / "cityscapes"
    label = np.tile(np.arange(34, dtype=np.uint8), (64, 3))[:, :80]
    for city in ("aachen", "bonn"):
        images, labels = root / "leftImg8bit" / "val" / city, root / "gtFine" / "val" / city
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        cv2.imwrite(str(images / f"{city}_000000_000019_leftImg8bit.png"), sample_image(64, 80))
        cv2.imwrite(str(labels / f"{city}_000000_000019_gtFine_labelIds.png"), label)
        cv2.imwrite(str(labels / f"{city}_000000_000019_gtFine_color.png"), sample_image(64, 80))
    return root


def test_cityscapes_as_it_ships(cityscapes):
    pairs = find_pairs(cityscapes, "val")
    assert len(pairs) == 2 and all(q.name.endswith("_gtFine_labelIds.png") for _, q in pairs)
    label = read_label(pairs[0][1], 19)
    known = {7: "road", 8: "sidewalk", 11: "building", 17: "pole", 23: "sky", 24: "person", 26: "car", 33: "bicycle"}
    assert {i: CITYSCAPES.names[label[0, i]] for i in known} == known
    assert (label[0, [0, 6, 9, 14, 18, 29, 30]] == 255).all()
    assert set(np.unique(label)) == {*range(19), 255}
    torch.manual_seed(0)
    result = evaluate(small_network(labels=CITYSCAPES), "cityscapes", cityscapes)
    assert result["images"] == 2 and 0 < result["pixel_accuracy"] < 1


def test_labels_that_hold_class_indices_already(cityscapes):
    for path in cityscapes.glob("gtFine/val/*/*_labelIds.png"):
        cv2.imwrite(str(path).replace("_labelIds", "_labelTrainIds"), read_label(path, 19))
        path.unlink()
    assert set(np.unique(read_label(find_pairs(cityscapes, "val")[0][1], 19))) == {*range(19), 255}


def test_wrong_folders_say_what_was_looked_for(net, root, cityscapes):
    with pytest.raises(DataError, match=r"looked for images/test and labels/test, test and testannot"):
        evaluate(net, "camvid", root, "test")
    with pytest.raises(DataError, match=r"leftImg8bit/test.* \(Cityscapes' form"):
        find_pairs(cityscapes, "test")
    next((root / "labels" / "val").iterdir()).unlink()
    with pytest.raises(DataError, match=r"no label for .*\(1 of 3 images"):
        find_pairs(root, "val")
    for path in (root / "images" / "train").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no images in"):
        find_pairs(root, "train")


def test_what_does_not_fit_together(net, root):
    with pytest.raises(ValueError, match="11 classes, cityscapes has 19"):
        evaluate(net, "cityscapes", root)
    label = root / "labels" / "val" / "p0.png"
    cv2.imwrite(str(label), np.zeros((10, 10), np.uint8))
    with pytest.raises(DataError, match=r"p0.png is \(10, 10\), its image"):
        evaluate(net, "camvid", root)
    cv2.imwrite(str(label), sample_image(64, 80))
    with pytest.raises(DataError, match="not a single-channel"):
        evaluate(net, "camvid", root)


@pytest.mark.parametrize("form", ["1", "L;2", "L;4", "P", "I;16"])
def test_label_values_are_those_that_are_stored(tmp_path, form):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) % {"1": 2, "L;2": 4}.get(form, 12)
    path = tmp_path / "label.png"
    if form == "I;16":
        cv2.imwrite(str(path), values.astype(np.uint16))
    elif form.startswith("L"):
        path.write_bytes(grey_png(values, int(form[-1])))
    elif form == "P":
        image = Image.fromarray(values).convert("P")
        image.putdata(values.ravel().tolist())
        image.putpalette([(7 * i) % 256 for i in range(768)])
        image.save(path)
    else:
        Image.fromarray(values * 255).convert("1").save(path)
    np.testing.assert_array_equal(read_label(path, 12), values)


def grey_png(values, bits):
    """A grey PNG of less than a byte a pixel, which neither Pillow nor OpenCV writes."""
    packed = b""
    for row in values:
        digits = "".join(f"{v:0{bits}b}" for v in row)
        packed += b"\0" + int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(-(-len(digits) // 8), "big")
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(packed)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def test_labels_that_cannot_be_indices(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match="a JPEG, which does not keep class indices"):
        read_label(tmp_path / "a.jpg", 3)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b.png is not an image"):
        read_label(tmp_path / "b.png", 3)


def test_a_network_of_other_classes_and_labels_that_say_nothing(root):
    other = small_network(labels=Labels("own", tuple(f"thing{i}" for i in range(11))))
    with pytest.raises(ValueError, match="thing0, thing1, thing2"):
        evaluate(other, "camvid", root, "val")
    for path in (root / "labels" / "val").iterdir():
        cv2.imwrite(str(path), np.full((64, 80), 255, np.uint8))
    with pytest.raises(DataError, match="no pixel of the 3 labels"):
        evaluate(small_network(), "camvid", root, "val")


def test_any_folder_is_measured_in_the_networks_own_classes(tmp_path, capsys):
    root = camvid_form(tmp_path / "things", train=1, val=3, classes=2)
    net = small_network(labels=PERSON)
    result = evaluate(net, "folder", root)
    miou, per_class, accuracy = by_hand(net, find_pairs(root, "val"))
    assert list(result["per_class"]) == ["background", "person"] and result["per_class"] == pytest.approx(per_class)
    assert result["miou"] == pytest.approx(miou) and result["pixel_accuracy"] == pytest.approx(accuracy)
    net.labels = None
    assert list(evaluate(net, "folder", root, limit=1)["per_class"]) == ["class 0", "class 1"]
    with pytest.raises(DataError, match="has 2 classes, camvid has 11"):
        evaluate(net, "camvid", root)
    person = str(write(small_network(labels=PERSON), tmp_path / "person.safetensors"))
    assert cli.main(["evaluate", person, "--dataset", "folder", "--root", str(root)]) == 0
    assert "  person " in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["folder", "camvid", "cityscapes"])
def test_a_pose_network_and_a_folder_without_images(dataset, tmp_path, capsys):
    pose = str(write(small_network("pose", LSP, (64, 48)), tmp_path / "pose.safetensors"))
    argv = ["--dataset", dataset, "--root", str(tmp_path)]
    assert cli.main(["evaluate", pose, *argv]) == 2
    assert (
        capsys.readouterr().err
        == f"scalenet evaluate: error: {dataset} is for segmentation, {pose} is a pose network\n"
    )
    labels = CITYSCAPES if dataset == "cityscapes" else CAMVID
    streets = str(write(small_network(labels=labels), tmp_path / "streets.safetensors"))
    for kind, words in (("images", "no split 'val' under"), ("labels", "no images in")):
        (tmp_path / kind / "val").mkdir(parents=True)
        assert cli.main(["evaluate", streets, *argv]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_only_images_of_a_prefix(net, root, capsys):
    for kind, suffix in (("images", "jpg"), ("labels", "png")):
        for i in (0, 2):
            (root / kind / "val" / f"p{i}.{suffix}").rename(root / kind / "val" / f"drive_{i}.{suffix}")
    pairs = find_pairs(root, "val")
    assert [p.stem for p, _ in pairs] == ["drive_0", "drive_2", "p1"]
    result = evaluate(net, "camvid", root, prefix="drive")
    assert result["images"] == 2 and result["prefix"] == "drive"
    assert result["miou"] == pytest.approx(by_hand(net, pairs[:2])[0])
    last = evaluate(net, "folder", root, prefix="p", limit=2)
    assert last["images"] == 1 and last["miou"] == pytest.approx(by_hand(net, pairs[2:])[0])
    assert "prefix" not in evaluate(net, "camvid", root, limit=1)
    with pytest.raises(DataError, match=r"none of the 3 images, such as drive_0.jpg in .*, begins with 'q'"):
        evaluate(net, "camvid", root, prefix="q")
