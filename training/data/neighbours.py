"""People whom a set of single people does not label: found by a network and kept as boxes, to be masked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from scalenet.data.keypoints import KeypointSet, write_json
from scalenet.models.factory import load_model
from scalenet.predict.bottomup import BottomUpPoseEstimator
from scalenet.predict.segmentation import Segmenter
from scalenet.predict.yolox import YoloxDetector

from .people import joint_box

Finder = Callable[[np.ndarray], np.ndarray]  # RGB (H, W, 3) uint8 -> (N, 4 or more) corner boxes
Boxes = dict[str, list[list[float]]]
NOBODY = np.zeros((0, 4))
DETECTED = 0.1  # least score of a detector's box: who is not sure to be nobody is masked
JOINT, JOINTS, PERSON = 0.05, 4, 0.04  # least score of a joint, so many of them, least score of a person
SIDE = 384  # short side that a bottom-up network looks at
CELL, FILLED = 12, 0.1  # pixels of a square of a mask, and the share of it from which it is somebody's
SAME = 0.5  # IoU from which somebody found is the labelled person
CONFIRMED = 0.1  # share of somebody found that the first finder's boxes cover, from which it found them too
PART = 0.85  # share of somebody found within the labelled person's box from which they are a part of them


def finder(name: str, device: str | None = None) -> Finder:
    """Who finds people at a low threshold: a network, or a detector in a ``.onnx`` file.

    The network is bottom-up, or one for segmentation with a class "person" (then boxes are small squares in its mask).

    Raises:
        ValueError, LookupError, FileNotFoundError: for what is none of these, or not there.
    """
    if name.lower().endswith(".onnx"):
        return YoloxDetector(name, DETECTED)
    model = load_model(name)
    if model.task == "segmentation":
        segmenter = Segmenter(model, device)
        if "person" not in segmenter.labels.names:
            raise ValueError(f"{name} does not tell people from other things: it has no class person")
        person = segmenter.labels.names.index("person")
        return lambda image: squares(next(segmenter.stream([image])).mask == person)
    estimator = BottomUpPoseEstimator(model, device, detection_threshold=JOINT, input_size=SIDE, person_threshold=0.0)

    def find(image: np.ndarray) -> np.ndarray:
        """(N, 4) corner boxes."""
        found = next(estimator.stream([image]))
        boxes = []
        for joints, score in zip(found.keypoints, found.scores, strict=True):
            sure = joints[:, 2] > JOINT
            if score > PERSON and sure.sum() >= JOINTS:
                boxes.append(joint_box(joints[sure, :2].astype(float)))
        return np.array(boxes).reshape(-1, 4)

    return find


def squares(mask: np.ndarray) -> np.ndarray:
    """(N, 4) corner boxes of the squares of an (H, W) bool mask of which enough is set."""
    h, w = (-(-s // CELL) * CELL for s in mask.shape)
    padded = np.zeros((h, w), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    share = cv2.resize(padded, (w // CELL, h // CELL), interpolation=cv2.INTER_AREA)
    corner = np.argwhere(share > FILLED)[:, ::-1] * float(CELL)
    return np.hstack([corner, corner + CELL])


def find_people(finders: Sequence[Finder], root: str, split: str, limit: int = 0, confirm: bool = False) -> Boxes:
    """Boxes x, y, w, h of everybody in a split's images who is not labelled, by the image's id.

    Args:
        finders: who find people; see :func:`finder`.
        limit: the first so many images only.
        confirm: whether what the later finders find counts only where the first found somebody as well.
    """
    data, boxes = KeypointSet.open(root, split), {}
    people = data.people()
    for image_id in tqdm(sorted(data.images)[: limit or None], desc="images", disable=None):
        labelled = people.boxes[people.image_ids == image_id]
        others = _others(finders, data.pixels(image_id), labelled, confirm)
        boxes[str(image_id)] = [[round(float(v), 1) for v in (x, y, x1 - x, y1 - y)] for x, y, x1, y1 in others]
    return boxes


def _others(finders: Sequence[Finder], image: np.ndarray, labelled: np.ndarray, confirm: bool) -> list[np.ndarray]:
    """Corner boxes of people in an image whom the boxes ``labelled`` (N, 4) do not hold."""
    h, w = image.shape[:2]
    others: list[np.ndarray] = []
    for n, find in enumerate(finders):
        found = np.clip([np.reshape(box, -1)[:4].astype(float) for box in find(image)] or NOBODY, 0, [w, h, w, h])
        found = np.array([box for box in found if not any(_same(box, own) for own in labelled)] or NOBODY)
        if n == 0:
            first = filled(found, (h, w))
        elif confirm:
            found = found[np.array([mean_within(first, box) >= CONFIRMED for box in found], bool)]
        others += list(found)
    return others


def filled(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels of corner boxes (N, 4)."""
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes.astype(int):
        mask[y0:y1, x0:x1] = True
    return mask


def mean_within(mask: np.ndarray, box: np.ndarray) -> float:
    """Share of a corner box's pixels that an (H, W) mask holds; 0 for an empty box."""
    x0, y0, x1, y1 = (round(v) for v in box)
    part = mask[y0:y1, x0:x1]
    return float(part.mean()) if part.size else 0.0


def _same(box: np.ndarray, own: np.ndarray) -> bool:
    """Whether a corner box is that of the labelled person ``own``, or of a part of them."""
    shared = np.maximum(np.minimum(box[2:], own[2:]) - np.maximum(box[:2], own[:2]), 0).prod()
    area, own_area = (box[2:] - box[:2]).prod(), (own[2:] - own[:2]).prod()
    return bool(shared >= PART * area or shared >= SAME * (area + own_area - shared))


def write_neighbours(
    finders: Sequence[Finder], root: str, split: str, out: str | Path, limit: int = 0, confirm: bool = False
) -> Boxes:
    """:func:`find_people` into a file."""
    found = find_people(finders, root, split, limit, confirm)
    write_json(out, found)
    return found
