"""People whose joints are coloured spots, in COCO's keypoint form, and a network that sees just those spots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from scalenet.archs.arch import SearchSpace
from scalenet.data.images import IMAGENET_MEAN, IMAGENET_STD
from scalenet.data.labels import Labels
from scalenet.nn.network import ScaleNet

SPOTS = Labels("spots", ("left_a", "right_a", "nose"), skeleton=((0, 2), (1, 2)), sigmas=(0.08, 0.08, 0.03),
               convention="aligned")  # fmt: skip


class Seen(list):
    """A list that copies of a network share, so that what a predictor's copy sees is seen."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Seen:
        return self


class SpotNetwork(ScaleNet):
    """Heatmaps are the input's red, green and blue, averaged to a quarter: joint k is the spot of colour k."""

    def __init__(self, size: tuple[int, int] = (64, 48), labels: Labels = SPOTS) -> None:
        super().__init__(SearchSpace("pose", 8, size, 8, 8, (1, 1, 1), (1, 1)).smallest(), num_classes=3, labels=labels)
        self.batches: list[int] = Seen()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        return F.avg_pool2d(x * std + mean, 4)


def paint(size: tuple[int, int], people: Sequence[np.ndarray], spread: float = 6.0) -> np.ndarray:
    """Black (H, W, 3) uint8 image, a Gaussian spot of colour k mod 3 at joint k of every (K, 2 or more) person."""
    ys, xs = np.mgrid[: size[0], : size[1]]
    image = np.zeros((*size, 3))
    for person in people:
        for k, (x, y) in enumerate(np.asarray(person)[:, :2]):
            spot = 255 * np.exp(((xs - x) ** 2 + (ys - y) ** 2) / (-2 * spread**2))
            image[..., k % 3] = np.maximum(image[..., k % 3], spot)
    return image.round().astype(np.uint8)


def person(x: float, y: float, height: float = 100) -> np.ndarray:
    """(3, 3) joints of somebody around (x, y), all visible."""
    return np.array([[x - height / 5, y, 2], [x + height / 5, y + height / 4, 2], [x, y - height / 3, 2]])


def box_of(joints: np.ndarray, margin: float = 15) -> list[float]:
    """[x, y, w, h] around somebody."""
    low, high = joints[:, :2].min(0) - margin, joints[:, :2].max(0) + margin
    return [float(v) for v in (*low, *(high - low))]


def annotation(number: int, image_id: int, joints: np.ndarray) -> dict[str, Any]:
    """One person as an annotation of COCO's."""
    box = box_of(joints)
    return {
        "id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0, "bbox": box, "area": box[2] * box[3],
        "keypoints": np.asarray(joints, float).ravel().tolist(), "num_keypoints": int((joints[:, 2] > 0).sum()),
    }  # fmt: skip


def coco_form(
    root: Path, images: Sequence[Sequence[np.ndarray]], labels: Labels = SPOTS, split: str = "val",
    size: tuple[int, int] = (200, 240), sigmas: bool = True,
) -> Path:  # fmt: skip
    """``root/SPLIT/000…1.png`` and ``root/annotations/person_keypoints_SPLIT.json``; returns the JSON's path."""
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    data: dict[str, Any] = {"images": [], "annotations": [], "categories": [{
        "id": 1, "name": "person", "keypoints": list(labels.names),
        "skeleton": [[a + 1, b + 1] for a, b in labels.skeleton], **({"sigmas": list(labels.sigmas)} if sigmas else {}),
    }]}  # fmt: skip
    for image_id, people in enumerate(images, start=1):
        name = f"{image_id:06d}"
        cv2.imwrite(str(root / split / f"{name}.png"), paint(size, people)[:, :, ::-1])
        data["images"].append({"id": image_id, "file_name": f"{name}.jpg", "height": size[0], "width": size[1]})
        for joints in people:
            data["annotations"].append(annotation(len(data["annotations"]) + 1, image_id, joints))
    path = root / "annotations" / f"person_keypoints_{split}.json"
    path.write_text(json.dumps(data))
    return path


def results_of(data: dict[str, Any], score: float = 1.0) -> list[dict[str, Any]]:
    """The annotations as somebody's perfect results."""
    return [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": list(a["keypoints"]), "score": score}
        for a in data["annotations"]
        if not a["iscrowd"] and any(a["keypoints"][2::3])
    ]
