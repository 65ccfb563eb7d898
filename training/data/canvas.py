"""Laying people and things over each other, keeping account of what is seen of whom. N people, K joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from scalenet.data.transforms import crop_matrices

from . import Size
from .augment import jitter
from .backgrounds import paste
from .bottomup import Scene, Unknown
from .people import LABELS, AnnotatedPerson, corners, enlarged, joint_box, outline

LARGEST = 3.5  # enlargement of pasted people
SHOWN = (0.8, 1.7)  # of a photograph, in lengths of its short side
ROTATION = 20.0
STRAIGHT = 0.4  # share of photographs that are not turned
ALONG_SKELETON = 0.6
PARTLY_OUT = 0.25  # share of pasted people whom the edge of the canvas may cut off, by as much of their sides
LEAST_LEFT = 4  # visible joints of somebody who still counts
MOST_COVERED = 0.5  # of anybody's box by the next one's
TRIES = 8
OWN = 0.1  # of the labelled person's longer side, around their box, where others are not known
AROUND = 0.15  # of the longer side, around a box, that is cut out of an image to paste somebody
SMALL = 0.6  # times its size, below which an image is halved first, so that lines are not lost
EVERY_JOINT = np.ones(len(LABELS.names), bool)


@dataclass(frozen=True)
class View:
    """How an image is seen on a canvas: (2, 3) matrix from image to canvas, and whether left and right swap."""

    matrix: np.ndarray
    mirrored: bool

    def points(self, xy: np.ndarray) -> np.ndarray:
        """(P, 2) of the image on the canvas."""
        return xy @ self.matrix[:, :2].T + self.matrix[:, 2]

    def keypoints(self, keypoints: np.ndarray) -> np.ndarray:
        """(K, 3) of the image on the canvas."""
        moved = np.column_stack([self.points(keypoints[:, :2]), keypoints[:, 2]])
        return moved[LABELS.flip_order()] if self.mirrored else moved

    def unknown(self, part: Unknown) -> Unknown:
        """Of the image on the canvas."""
        joints = part.joints[LABELS.flip_order()] if self.mirrored else part.joints
        return Unknown(self.points(part.outline), joints)


@dataclass
class Canvas:
    """What has been laid over each other: colours, mask, and whose each pixel is (0: the background's)."""

    image: np.ndarray
    mask: np.ndarray
    owner: np.ndarray = field(init=False)
    people: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)  # keypoints, corner box, owner
    unknown: list[Unknown] = field(default_factory=list)
    top: int = 0

    def __post_init__(self) -> None:
        self.owner = np.zeros(self.mask.shape, np.uint8)

    def lay(self, image: np.ndarray, alpha: np.ndarray, corner: tuple[int, int]) -> None:
        """Put something (h, w, 3) with coverage (h, w) 0..1 over everything, its corner at (y, x)."""
        self.top += 1
        part = paste(self.image, image, alpha, corner)
        rows, columns = (slice(p.start - c, p.stop - c) for p, c in zip(part, corner, strict=True))
        seen = alpha[rows, columns] > 0.5
        self.owner[part][seen] = self.top
        self.mask[part][seen] = 1

    def unroll(self, person: AnnotatedPerson, rng: np.random.Generator) -> None:
        """Lay somebody's whole photograph over an empty canvas; who else may be in it is masked."""
        image = person.pixels()
        h, w = image.shape[:2]
        view = self._show(person, (h, w), rng)
        cv2.warpAffine(
            *halved(image, view.matrix), self.mask.shape[::-1], dst=self.image, flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip
        whole = view.points(corners(np.array([0, 0, w, h]) - 0.5))
        self._fill(whole, int(person.neighbours is not None))
        self.unknown += [view.unknown(part) for part in person.unknown((h, w))]
        if person.neighbours is None:
            self._fill(view.points(corners(np.clip(enlarged(person.box, OWN), 0, [w, h, w, h]))), 1)
        else:
            self.unknown += [Unknown(view.points(corners(box)), EVERY_JOINT) for box in person.neighbours]
        outline = view.points(corners(person.box))
        box = np.concatenate([outline.min(0), outline.max(0)])
        self.people.append((view.keypoints(person.keypoints), self._clipped(box), 0))

    def _show(self, person: AnnotatedPerson, size: Size, rng: np.random.Generator) -> View:
        """A random view of a photograph of (h, w) ``size`` that shows somebody in it, or the most of them."""
        side = min(size) * float(np.exp(rng.uniform(*np.log(SHOWN))))
        angle = 0.0 if rng.random() < STRAIGHT else float(rng.uniform(-ROTATION, ROTATION))
        middle = np.array(size[::-1]) / 2 + rng.uniform(-0.3, 0.3, 2) * np.maximum(size[::-1], side)
        centre = (middle + (person.box[:2] + person.box[2:]) / 2) / 2
        canvas = np.array(self.mask.shape[::-1])
        region = np.concatenate([centre, canvas * side / min(canvas)])[None]
        matrix = crop_matrices(region, self.mask.shape, True, angle)[0]
        mirrored = bool(rng.random() < 0.5)
        if mirrored:
            matrix[0] = -matrix[0] + [0, 0, canvas[0] - 1]
        return View(matrix, mirrored)

    def put(self, person: AnnotatedPerson, height: float, rng: np.random.Generator) -> None:
        """Lay somebody cut out over everything, turned, mirrored or not, where nobody is covered too much.

        Nothing happens where there is no room.

        Args:
            height: of the person's longer side, in short sides of the canvas.
        """
        view, box = self._place(person, height, rng)
        if view is None:
            return
        pixels = person.pixels()
        along = person.whole or bool(rng.random() < ALONG_SKELETON)
        cut = view.points(corners(enlarged(person.box, AROUND)))
        low = np.floor(np.maximum(cut.min(0), 0)).astype(int)
        high = np.ceil(np.minimum(cut.max(0), self.mask.shape[::-1])).astype(int)
        size = tuple(int(n) for n in np.maximum(high - low, 1))
        matrix = view.matrix - np.array([[0, 0, low[0]], [0, 0, low[1]]])
        image = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(outline(person, pixels.shape[:2], along), matrix, size, flags=cv2.INTER_LINEAR)
        self.lay(jitter(image, rng, 0.1), alpha, (int(low[1]), int(low[0])))
        self.people.append((view.keypoints(person.keypoints), box, self.top))
        self.unknown += [view.unknown(part) for part in person.unknown()]

    def _place(
        self, person: AnnotatedPerson, height: float, rng: np.random.Generator
    ) -> tuple[View | None, np.ndarray]:
        """Where somebody is put, and their corner box there; no view where there is no room."""
        size, sides = np.array(self.mask.shape[::-1]), person.box[2:] - person.box[:2]
        scale = min(height * min(size) / max(sides), LARGEST, 0.95 * min(size / sides))
        angle, mirrored = np.deg2rad(rng.uniform(-ROTATION, ROTATION)), bool(rng.random() < 0.5)
        linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear = linear * [-1, 1] if mirrored else linear
        own = joint_box(person.keypoints[person.keypoints[:, 2] > 0, :2] @ linear.T)
        out = PARTLY_OUT * (own[2:] - own[:2]) if rng.random() < PARTLY_OUT else 0.0
        room = size - (own[2:] - own[:2])
        for _ in range(TRIES):
            shift = rng.uniform(np.minimum(room, 0) - out, np.maximum(room, 0) + out) - own[:2]
            box = self._clipped(own + np.tile(shift, 2))
            if all(covers(box, other) <= MOST_COVERED for _, other, _ in self.people):
                return View(np.hstack([linear, shift[:, None]]), mirrored), box
        return None, own

    def scene(self) -> tuple[Scene, np.ndarray]:
        """What is seen of everybody, and their boxes (N, 4) x, y, w, h; the nearest first."""
        keypoints, boxes = [], []
        for joints, box, owner in reversed(self.people):
            joints = uncovered(joints, self.owner, owner)
            if (joints[:, 2] > 0).sum() >= LEAST_LEFT:
                keypoints.append(joints)
                boxes.append(np.concatenate([box[:2], box[2:] - box[:2]]))
            else:
                own = self.owner == owner
                if not owner:  # of a photograph's pixels, those of the box
                    x0, y0, x1, y1 = (round(v) for v in box)
                    own[:y0], own[y1:], own[:, :x0], own[:, x1:] = False, False, False, False
                self.mask[own] = 0
        people = np.array(keypoints).reshape(-1, len(LABELS.names), 3)
        return Scene(self.image, people, self.mask, tuple(self.unknown)), np.array(boxes).reshape(-1, 4)

    def _fill(self, outline: np.ndarray, value: int) -> None:
        cv2.fillConvexPoly(self.mask, outline.round().astype(np.int32), value)

    def _clipped(self, box: np.ndarray) -> np.ndarray:
        return np.clip(box, 0, np.tile(self.mask.shape[::-1], 2))


def halved(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image and its (2, 3) matrix to a canvas, the image halved until it is hardly larger than it is seen there."""
    while np.hypot(*matrix[:, 0]) < SMALL and min(image.shape[:2]) > 1:
        h, w = (side // 2 for side in image.shape[:2])
        image = cv2.resize(image[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    return image, matrix


def side_by_side(parts: Sequence[tuple[tuple[int, int], Scene]], size: Size) -> Scene:
    """One scene of (H, W) ``size`` from smaller ones that fill it, each with its corner's (y, x)."""
    image, mask = np.zeros((*size, 3), np.uint8), np.ones(size, np.uint8)
    people, unknown = [], []
    for (top, left), scene in parts:
        h, w = scene.mask.shape
        image[top : top + h, left : left + w] = scene.image
        mask[top : top + h, left : left + w] = scene.mask
        people.append(np.where(scene.keypoints[..., 2:] > 0, scene.keypoints + np.array([left, top, 0]), 0))
        within = [(part, np.clip(part.outline, -0.5, np.array([w, h]) - 0.5)) for part in scene.unknown]
        unknown += [Unknown(outline + np.array([left, top]), part.joints) for part, outline in within]
    return Scene(image, np.concatenate(people), mask, tuple(unknown))


def covers(box: np.ndarray, other: np.ndarray) -> float:
    """Share of ``other``'s area that ``box`` covers."""
    sides = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    return float(sides.prod() / max(1.0, (other[2:] - other[:2]).prod()))


def uncovered(keypoints: np.ndarray, owner: np.ndarray, layer: int) -> np.ndarray:
    """Keypoints (K, 3) with v = 0 where something later than ``layer`` lies over them, or outside."""
    h, w = owner.shape
    x, y = np.floor(keypoints[:, :2] + 0.5).astype(int).T
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    seen = inside & (owner[y.clip(0, h - 1), x.clip(0, w - 1)] <= layer) & (keypoints[:, 2] > 0)
    return np.where(seen[:, None], keypoints, 0)
