"""Crowds composed from pictures of single people (LSP), with CrowdPose's joints.

People are cut out along their skeleton or their box and laid over each other, farther ones first. A joint that is
covered is not labelled; somebody of whom too little is left is a neighbour without labels, and masked.
N people, K joints, (H, W) pictures.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scalenet.datasets import COMPOSED, LSP
from scalenet.evaluate.crowdpose import AREA_OF_BOX
from scalenet.evaluate.keypoint_data import KeypointSet, write_json
from scalenet.predict.images import read_rgb, save_picture

from . import DataError, Size, whole_folder
from .augment import jitter
from .bottomup import Arrays, Scene, targets

LABELS = COMPOSED
FROM_LSP = [LSP.names.index({"head": "head_top"}.get(name, name)) for name in LABELS.names]
SCALES = (0.3, 1.5)
ROTATION = 20.0
LEAST_JOINTS = 10  # labelled, of somebody who is put into a crowd
LEAST_LEFT = 4  # visible, of somebody who still counts
MOST_COVERED = 0.5  # of anybody's box by the next one's
TRIES = 8
SQUARE = 32  # pixels of a background's pieces
MARGIN = 0.08  # of a box around joints, in its longer side, as LSP's boxes have it
VAL_SIZE = (512, 512)


@dataclass(frozen=True)
class Person:
    """Somebody on a canvas: colours and coverage 0..1 (H, W), keypoints (K, 3), corner box (4,) on the canvas."""

    image: np.ndarray
    alpha: np.ndarray
    keypoints: np.ndarray
    box: np.ndarray


class CrowdSource:
    """Crowds composed anew for every sample, from the people of a single-person split with LSP's joints.

    Args:
        root, split: as :meth:`scalenet.evaluate.keypoint_data.KeypointSet.open` finds them.
        people: fewest and most in a crowd on 512x512; fewer, but up to 3, on smaller pictures.
        colour: largest change of brightness, contrast and saturation.

    Raises:
        DataError: if the split is missing or has other joints.
    """

    labels = LABELS

    def __init__(self, root: str, split: str, people: tuple[int, int] = (1, 5), colour: float = 0.3) -> None:
        self.data, self.people, self.colour = KeypointSet.open(root, split), people, colour
        if self.data.labels is None or self.data.labels.names != LSP.names:
            raise DataError(f"{self.data.path} does not have LSP's joints, which crowds are composed from")
        found = self.data.people()
        usable = (found.keypoints[..., 2] > 0).sum(1) >= LEAST_JOINTS
        self.keypoints, self.boxes = found.keypoints[usable], found.boxes[usable]
        self.image_ids = found.image_ids[usable].tolist()
        if not self.image_ids:
            raise DataError(f"{self.data.path} has nobody with {LEAST_JOINTS} labelled joints")

    def __len__(self) -> int:
        return len(self.image_ids)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> Arrays:
        """A crowd around person ``index``, (H, W, 3) uint8, and its :func:`~training.data.bottomup.targets`."""
        most = max(3, round(self.people[1] * size[0] * size[1] / (VAL_SIZE[0] * VAL_SIZE[1])))
        count = int(rng.integers(min(self.people[0], most), most + 1))
        scene, _ = self.compose(index, rng, size, count)
        image = jitter(scene.image, rng, self.colour) if self.colour else scene.image
        return image, *targets(dataclasses.replace(scene, image=image), self.labels)

    def load(self, index: int, size: Size) -> np.ndarray:
        """One fixed crowd (H, W, 3) around person ``index``."""
        return self.compose(index, np.random.default_rng(index), size, 3)[0].image

    def validation(self, number: int) -> tuple[np.ndarray, list[dict[str, Any]], float]:
        """Crowd ``number`` of a fixed series: 512x512 picture, 2-4 people in CrowdPose's form, crowdIndex."""
        rng = np.random.default_rng((20, number))
        scene, boxes = self.compose(int(rng.integers(len(self))), rng, VAL_SIZE, int(rng.integers(2, 5)))
        people = [
            {
                "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": int((k[:, 2] > 0).sum()),
                "keypoints": np.round(k, 2).ravel().tolist(), "bbox": np.round(box, 2).tolist(),
                "area": round(float(AREA_OF_BOX * box[2] * box[3]), 2),
            }
            for k, box in zip(scene.keypoints, boxes, strict=True)
        ]  # fmt: skip
        return scene.image, people, crowd_index(scene.keypoints, boxes)

    # -- composing -----------------------------------------------------------------------------------------
    def compose(self, index: int, rng: np.random.Generator, size: Size, count: int) -> tuple[Scene, np.ndarray]:
        """A scene of up to ``count`` people, ``index`` among them, and their boxes (N, 4) x, y, w, h."""
        chosen = [index, *rng.integers(len(self), size=count - 1)]
        people: list[Person] = []
        for scale, i in sorted(zip(rng.uniform(*SCALES, len(chosen)), chosen, strict=True)):
            person = self._place(int(i), float(scale), rng, size, [p.box for p in people])
            people += [person] if person is not None else []
        canvas = self._background(rng, size).astype(np.float32)
        covered = np.zeros(size, np.float32)
        for person in people:
            canvas += person.alpha[..., None] * (person.image - canvas)
        keypoints, boxes, mask = [], [], np.ones(size, np.uint8)
        for person in reversed(people):  # the nearest first: what it covers is not seen of the others
            joints = _uncovered(person.keypoints, covered)
            if (joints[:, 2] > 0).sum() >= LEAST_LEFT:
                keypoints.append(joints)
                boxes.append(person.box)
            else:
                mask[(person.alpha > 0.5) & (covered < 0.5)] = 0
            covered = np.maximum(covered, person.alpha)
        joints = np.array(keypoints).reshape(-1, len(self.labels.names), 3)
        corners = np.array(boxes).reshape(-1, 4)
        boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        return Scene(canvas.round().astype(np.uint8), joints, mask), boxes

    def _place(
        self, index: int, scale: float, rng: np.random.Generator, size: Size, taken: list[np.ndarray]
    ) -> Person | None:
        """Somebody turned, scaled, mirrored and put where nobody is covered too much; None where there is no room."""
        image, joints = read_rgb(self.data.picture(self.image_ids[index])), self.keypoints[index]
        x0, y0, x1, y1 = self.boxes[index]
        scale = min(scale, 0.95 * min(size[0] / (y1 - y0), size[1] / (x1 - x0)))
        angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION))
        mirrored = bool(rng.random() < 0.5)
        linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear = linear * [-1, 1] if mirrored else linear
        outline = self._alpha(image.shape[:2], joints, self.boxes[index], bool(rng.random() < 0.5))
        xy = joints[:, :2] @ linear.T
        own = _joint_box(xy[joints[:, 2] > 0])
        room = np.array(size[::-1]) - (own[2:] - own[:2])
        for _ in range(TRIES):
            shift = rng.uniform(np.minimum(room, 0), np.maximum(room, 0)) - own[:2]
            box = np.clip(own + np.tile(shift, 2), 0, np.tile(size[::-1], 2))
            if all(_covers(box, other) <= MOST_COVERED for other in taken):
                break
        else:
            return None
        matrix = np.hstack([linear, shift[:, None]])
        keypoints = np.column_stack([xy + shift, joints[:, 2]])
        order = self.labels.flip_order() if mirrored else slice(None)
        return Person(
            cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR).astype(np.float32),
            cv2.warpAffine(outline, matrix, size[::-1], flags=cv2.INTER_LINEAR),
            keypoints[FROM_LSP][order], box,
        )  # fmt: skip

    def _alpha(self, size: Size, joints: np.ndarray, box: np.ndarray, along_skeleton: bool) -> np.ndarray:
        """(H, W) float32 coverage of somebody in their picture: thick limbs, or the box where joints are missing."""
        alpha, seen = np.zeros(size, np.uint8), joints[:, 2] > 0
        side = float(max(box[2] - box[0], box[3] - box[1]))
        if along_skeleton and seen.all():
            at = {n: tuple(round(v) for v in joints[i, :2]) for i, n in enumerate(LSP.names)}
            corners = [at[n] for n in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
            cv2.fillConvexPoly(alpha, cv2.convexHull(np.array(corners, np.int32)), 1)
            for a, b in LSP.skeleton:
                cv2.line(alpha, at[LSP.names[a]], at[LSP.names[b]], 1, max(3, round(0.13 * side)))
        else:
            x0, y0, x1, y1 = (round(v) for v in box)
            alpha[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 1
        return cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), max(1.0, 0.015 * side))

    def _background(self, rng: np.random.Generator, size: Size) -> np.ndarray:
        """Small squares from beside somebody, so that no whole neighbour is among them, or a picture blurred away."""
        i = int(rng.integers(len(self)))
        image = read_rgb(self.data.picture(self.image_ids[i]))
        h, w = image.shape[:2]
        x0, y0, x1, y1 = np.clip(self.boxes[i], 0, [w, h, w, h]).astype(int)
        strip = max((image[:, :x0], image[:, x1:], image[:y0], image[y1:]), key=lambda s: min(s.shape[:2]))
        cut = min(*strip.shape[:2], SQUARE)
        if cut < SQUARE // 2 or rng.random() < 0.3:
            blurred = cv2.GaussianBlur(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA), (0, 0), 4)
            return cv2.resize(blurred, size[::-1], interpolation=cv2.INTER_CUBIC)
        background = np.empty((*size, 3), np.uint8)
        side = round(cut * rng.uniform(1, 3))
        for y, x in itertools.product(range(0, size[0], side), range(0, size[1], side)):
            top, left = rng.integers(strip.shape[0] - cut + 1), rng.integers(strip.shape[1] - cut + 1)
            square = cv2.resize(strip[top : top + cut, left : left + cut], (side, side))
            place = background[y : y + side, x : x + side]
            place[:] = square[: place.shape[0], : place.shape[1]]
        return background


def _joint_box(xy: np.ndarray) -> np.ndarray:
    """(4,) corner box around joints with LSP's margin."""
    low, high = xy.min(0), xy.max(0)
    margin = MARGIN * (high - low).max()
    return np.concatenate([low - margin, high + margin])


def _covers(box: np.ndarray, other: np.ndarray) -> float:
    """Share of ``other``'s area that ``box`` covers."""
    sides = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    return float(sides.prod() / max(1.0, (other[2:] - other[:2]).prod()))


def _uncovered(keypoints: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Keypoints with v = 0 where they are covered or outside."""
    h, w = covered.shape
    x, y = np.floor(keypoints[:, :2] + 0.5).astype(int).T
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    seen = inside & (covered[y.clip(0, h - 1), x.clip(0, w - 1)] < 0.5) & (keypoints[:, 2] > 0)
    return np.where(seen[:, None], keypoints, 0)


def crowd_index(keypoints: np.ndarray, boxes: np.ndarray) -> float:
    """CrowdPose's measure: the mean over people of others' joints in their box per joint of their own, at most 1."""
    shares = []
    for n, (x, y, w, h) in enumerate(boxes):
        inside = (
            (keypoints[..., 0] >= x) & (keypoints[..., 0] <= x + w) & (keypoints[..., 1] >= y)
            & (keypoints[..., 1] <= y + h) & (keypoints[..., 2] > 0)
        ).sum(1)  # fmt: skip
        shares.append((inside.sum() - inside[n]) / max(1, inside[n]))
    return round(float(min(1.0, np.mean(shares))), 2) if shares else 0.0


def write_crowds(root: str, split: str, out: str | Path, count: int) -> KeypointSet:
    """The first ``count`` crowds of :meth:`CrowdSource.validation` as a data set in COCO's form, pictures included.

    Raises:
        DataError: if ``out`` exists already.
    """
    source = CrowdSource(root, split)
    images, annotations = [], []
    with whole_folder(out) as partial:
        folder = partial / "images" / split
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            image, people, index = source.validation(number)
            name = f"{number:06}.jpg"
            save_picture(folder / name, image)
            height, width = image.shape[:2]
            images.append({"id": number, "file_name": name, "height": height, "width": width, "crowdIndex": index})
            annotations += [{"id": len(annotations) + i, **person} for i, person in enumerate(people, 1)]
        skeleton = [[a + 1, b + 1] for a, b in LABELS.skeleton]
        category = {"id": 1, "name": "person", "keypoints": list(LABELS.names), "skeleton": skeleton}
        data = {"images": images, "annotations": annotations, "categories": [category]}
        write_json(partial / "annotations" / f"{split}.json", data)
    return KeypointSet.open(out, split)
