"""Single people as stick figures: LSP's crops, whole photographs with COCO's joints, and backgrounds to put them on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from scalenet.data.labels import COCO, LSP, Labels, map_keypoints

from .small_data import photographs

X = [35, 37, 40, 60, 63, 65, 20, 25, 38, 62, 75, 80, 50, 50]
Y = [95, 75, 55, 55, 75, 95, 55, 45, 25, 25, 45, 55, 22, 5]
FIGURE = np.column_stack([X, Y, np.full(14, 2)]).astype(float)  # LSP's joints, seen from behind
FACE = np.array([[50, 13, 2], [48, 11, 2], [52, 11, 2], [45, 13, 2], [55, 13, 2]], float)
STREET = (240, 320)


def write_split(root: Path, split: str, labels: Labels, photos: list[np.ndarray], people: list[np.ndarray]) -> None:
    """One person (K, 3) with LSP's margin around them for each image, in COCO's form."""
    (root / "images" / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for i, (image, joints) in enumerate(zip(photos, people, strict=True), 1):
        h, w = image.shape[:2]
        cv2.imwrite(str(root / "images" / split / f"{i}.png"), image[:, :, ::-1])
        images.append({"id": i, "file_name": f"{i}.png", "height": h, "width": w})
        seen = joints[joints[:, 2] > 0, :2]
        low, high = np.maximum(seen.min(0) - 8, 0), np.minimum(seen.max(0) + 8, [w, h])
        high[1] = h if len(seen) < len(joints) else high[1]  # what is missing is beyond the edge
        box = [*low.tolist(), *(high - low).tolist()]
        annotations.append({
            "id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": len(seen),
            "keypoints": joints.ravel().tolist(), "bbox": box, "area": 0.53 * box[2] * box[3],
        })  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(labels.names), "skeleton": []}
    data = {"images": images, "annotations": annotations, "categories": [category]}
    (root / "annotations" / f"{split}.json").write_text(json.dumps(data))


def drawn(image: np.ndarray, joints: np.ndarray, labels: Labels) -> np.ndarray:
    """A copy with yellow limbs."""
    image = image.copy()
    for a, b in labels.skeleton:
        if joints[a, 2] and joints[b, 2]:
            ends = (tuple(joints[i, :2].astype(int).tolist()) for i in (a, b))
            cv2.line(image, *ends, (255, 255, 0), 4)
    return image


def lsp_form(root: Path, people: int = 4) -> Path:
    """150x150 crops of a photograph with LSP's joints."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        figures = [FIGURE + np.array([30, 20, 0]) for _ in range(people)]
        for figure in figures:
            figure[:, :2] += rng.normal(0, 2, (14, 2))
        photos = [drawn(photographs()[0][:150, 10 * i : 150 + 10 * i], f, LSP) for i, f in enumerate(figures, 1)]
        write_split(root, split, LSP, photos, figures)
    return root


def stanford_form(root: Path) -> Path:
    """Whole 200x260 photographs with COCO's joints: one from head to feet, one whose legs are beyond the edge."""
    whole = map_keypoints(FIGURE, LSP.names, COCO.names)
    whole[:5] = FACE
    cut = whole * [1.6, 1.6, 1]
    whole[:, :2] += np.array([150, 60])
    cut[:, :2] += np.array([10, 100])
    cut[cut[:, 1] > 199] = 0
    for split in ("train", "val"):
        photos = [drawn(photographs()[1][:200, :260], joints, COCO) for joints in (whole, cut)]
        write_split(root, split, COCO, photos, [whole, cut])
    return root


def things_form(root: Path) -> Path:
    """64x64 images of two classes, one of which people wear, as folders."""
    rng = np.random.default_rng(1)
    for split in ("train", "val"):
        for name in ("n1", "n2"):
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                top, left = rng.integers(300), rng.integers(500)
                part = photographs()[0][top : top + 64, left : left + 64].copy()
                part[:, :, 2] = 255 * (name == "n2")
                cv2.imwrite(str(root / split / name / f"{i}.png"), part[:, :, ::-1])
    (root / "classes.tsv").write_text("n1\tgoldfish\nn2\tkimono\n")
    return root


def streets_form(root: Path, people: int) -> Path:
    """Streets in CamVid's form, grey, with a red pedestrian of so many pixels' width in the middle."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        image, label = np.full((*STREET, 3), 128, np.uint8), np.full(STREET, 3, np.uint8)
        if people:
            middle = np.s_[80:160, 160 - people // 2 : 160 + people // 2]
            image[middle], label[middle] = (255, 0, 0), 9
        cv2.imwrite(str(root / "images" / split / "a.png"), image[:, :, ::-1])
        cv2.imwrite(str(root / "labels" / split / "a.png"), label)
    return root
