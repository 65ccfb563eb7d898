"""Whole images with everybody in them: random affine, heatmaps at two resolutions, crowd masks, joints for the tags.

N people, K joints, (H, W) images; keypoints (N, K, 3) are x, y in pixels and visibility, a joint counting above 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from scalenet.data.keypoints import KeypointSet
from scalenet.data.labels import Labels
from scalenet.data.transforms import crop, crop_matrices, invert, transform

from . import DataError, Size, mirrored_where_known
from .augment import check_scale, jitter

STRIDES = (4, 2)
MAX_PEOPLE = 30
SIGMA = 2.0  # heatmap pixels, at both strides
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Unknown:
    """A convex outline (P, 2) in pixels within which it is not known where ``joints`` (K,) bool are."""

    outline: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class Scene:
    """An image (H, W, 3), its people's keypoints (N, K, 3), and what is not known.

    ``mask`` (H, W) uint8 is 0 where nothing is known. ``unknown`` are parts where some joints are not, beside those of
    the people there.
    """

    image: np.ndarray
    keypoints: np.ndarray
    mask: np.ndarray
    unknown: tuple[Unknown, ...] = ()


@dataclass(frozen=True)
class RandomAffine:
    """HigherHRNet's augmentation, and a change of colour.

    Args:
        rotation: at most this many degrees.
        scale: part of the image that is shown, in lengths of its short side.
        translate: at most this, in 1/200 of what is shown.
        flip: probability of a mirrored image.
        colour: largest change of brightness, contrast and saturation.
    """

    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    translate: float = 40.0
    flip: float = 0.5
    colour: float = 0.0


def targets(scene: Scene, labels: Labels) -> Arrays:
    """What a network of ``labels`` is to give for ``scene``.

    Returns:
        heatmaps (K, H/4, W/4), heatmaps at half size (K, H/2, W/2), their masks of the same shapes (uint8, 0 where a
        joint is not known), and joints (30, K): the stride-4 pixel (row * width + column) of each person's joints, -1
        where there is none or it lies outside.
    """
    people = scene.keypoints
    if len(people) > MAX_PEOPLE:
        best = np.argsort(-(people[..., 2] > 0).sum(1), kind="stable")[:MAX_PEOPLE]
        people = people[np.sort(best)]
    size = scene.image.shape[:2]
    maps, masks = [], []
    for stride in STRIDES:
        h, w = (-(-s // STRIDES[0]) * (STRIDES[0] // stride) for s in size)
        centres, there = place(people, stride, (h, w), labels.convention == "aligned")
        maps.append(draw_heatmaps(centres, there, (h, w)))
        masks.append(joint_masks(scene, maps[-1], stride))
        if stride == STRIDES[0]:
            pixel = np.floor(centres + 0.5).astype(np.int64)
            joints = np.full((MAX_PEOPLE, len(labels.names)), -1, np.int64)
            joints[: len(people)] = np.where(there, pixel[..., 1] * w + pixel[..., 0], -1)
    return *maps, *masks, joints


def place(people: np.ndarray, stride: int, size: Size, aligned: bool) -> tuple[np.ndarray, np.ndarray]:
    """Joints in pixels of an (h, w) map (N, K, 2), whole numbers unless ``aligned``, and which of them are on it."""
    xy = people[..., :2]
    centres = (xy + 0.5) / stride - 0.5 if aligned else np.floor(xy / stride)
    pixel = np.floor(centres + 0.5)
    inside = ((pixel >= 0) & (pixel < np.array(size[::-1]))).all(-1)
    return centres, inside & (people[..., 2] > 0)


def draw_heatmaps(centres: np.ndarray, there: np.ndarray, size: Size, sigma: float = SIGMA) -> np.ndarray:
    """(K, h, w) float32: Gaussians of peak 1 that end at three sigma, the higher where two meet."""
    (h, w), reach = size, int(np.ceil(3 * sigma))
    heatmaps = np.zeros((centres.shape[1], h, w), np.float32)
    first = centres[there].astype(int) - reach
    pixels = first[:, :, None] + np.arange(2 * reach + 2)
    values = np.exp((pixels - centres[there][:, :, None]) ** 2 / (-2 * sigma**2)).astype(np.float32)
    low, high = np.maximum(first, 0), np.minimum(first + 2 * reach + 2, [w, h])
    for n, j in enumerate(np.nonzero(there)[1]):
        (x0, y0), (x1, y1), (x, y) = low[n], high[n], first[n]
        patch = heatmaps[j, y0:y1, x0:x1]
        np.maximum(patch, values[n, 1, y0 - y : y1 - y, None] * values[n, 0, x0 - x : x1 - x], out=patch)
    return heatmaps


def joint_masks(scene: Scene, heatmaps: np.ndarray, stride: int) -> np.ndarray:
    """(K, h, w) uint8: 0 where a joint is not known.

    Around a labelled joint (``heatmaps`` above 0) that joint is known whatever ``scene.unknown`` says, and where no
    joint would be known, all are.
    """
    masks, common = np.ones(heatmaps.shape, np.uint8), np.ones(heatmaps.shape[1:], np.uint8)
    for part in scene.unknown:
        outline = np.round((part.outline + 0.5) / stride - 0.5).astype(np.int32)
        for plane in [common] if part.joints.all() else [masks[j] for j in np.flatnonzero(part.joints)]:
            cv2.fillConvexPoly(plane, outline, 0)
    if scene.unknown:
        there = heatmaps > 0
        masks &= common | there.any(0)
        masks |= there
    mask = cv2.resize(scene.mask, heatmaps.shape[:0:-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return masks if mask.all() else masks * mask


def warp_scene(scene: Scene, matrix: np.ndarray, size: Size, mirrored: bool, labels: Labels) -> Scene:
    """A scene under a (1, 2, 3) image-to-output ``matrix``; ``mirrored`` says that it swaps left and right.

    Outside the image there is black, and nobody.
    """
    keypoints = transform(np.repeat(matrix, len(scene.keypoints), 0), scene.keypoints)
    mask = cv2.warpAffine(
        scene.mask, invert(matrix)[0], size[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=1
    )
    order = labels.flip_order() if mirrored else slice(None)
    unknown = tuple(
        Unknown(part.outline @ matrix[0, :, :2].T + matrix[0, :, 2], part.joints[order]) for part in scene.unknown
    )
    return Scene(crop(scene.image, matrix[0], size), keypoints[:, order], mask, unknown)


class BottomUpSource:
    """Images of a COCO-form split (COCO's and CrowdPose's own folders), one sample each.

    Args:
        root, split: as :meth:`scalenet.data.keypoints.KeypointSet.open` finds them.

    Raises:
        DataError: if the split, an image or labelled people are missing.
    """

    def __init__(self, root: str, split: str, augmentation: RandomAffine = RandomAffine()) -> None:
        check_scale(augmentation.scale)
        self.data = KeypointSet.open(root, split)
        self.people: dict[Any, list[dict[str, Any]]] = {}
        for annotation in self.data.annotations:
            self.people.setdefault(annotation["image_id"], []).append(annotation)
        self.image_ids = sorted(self.people)
        if not self.image_ids:
            raise DataError(f"{self.data.path} labels nobody")
        for image_id in self.image_ids:
            self.data.image(image_id)
        self.labels = self.data.labels
        self.augmentation = mirrored_where_known(augmentation, self.labels)

    def __len__(self) -> int:
        return len(self.image_ids)

    def scene(self, index: int) -> Scene:
        """The whole image with its people as they are."""
        image_id = self.image_ids[index]
        image = self.data.pixels(image_id)
        rows = [a["keypoints"] for a in self.people[image_id] if a["num_keypoints"] > 0]
        keypoints = np.array(rows, float).reshape(len(rows), len(self.labels.names), 3)
        return Scene(image, keypoints, crowd_mask(self.people[image_id], image.shape[:2]))

    def load(self, index: int, size: Size) -> np.ndarray:
        """The image as large as fits into (H, W) ``size``."""
        image = self.data.pixels(self.image_ids[index])
        side = min(size) * max(np.divide(image.shape[:2], size))
        return crop(image, region_matrix(image, size, side)[0], size)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> Arrays:
        """An augmented image (H, W, 3) uint8 and its :func:`targets`."""
        scene, aug = self.scene(index), self.augmentation
        side = min(scene.image.shape[:2]) * rng.uniform(*aug.scale)
        shift = rng.uniform(-1, 1, 2) * aug.translate / 200 * side
        angle = rng.uniform(-aug.rotation, aug.rotation)
        matrix = region_matrix(scene.image, size, side, shift, angle, self.labels.convention == "aligned")
        mirrored = bool(rng.random() < aug.flip)
        if mirrored:
            matrix[:, 0] = -matrix[:, 0] + [0, 0, size[1] - 1]
        scene = warp_scene(scene, matrix, size, mirrored, self.labels)
        image = jitter(scene.image, rng, aug.colour) if aug.colour else scene.image
        return image, *targets(scene, self.labels)


def region_matrix(
    image: np.ndarray,
    size: Size,
    side: float,
    shift: np.ndarray | float = 0.0,
    angle: float = 0.0,
    aligned: bool = True,
) -> np.ndarray:
    """(1, 2, 3) matrix that shows ``side`` pixels of an image along the short side of ``size``."""
    h, w = image.shape[:2]
    centre = np.array([w / 2, h / 2]) + shift
    shown = np.array(size[::-1]) * side / min(size)
    return crop_matrices(np.concatenate([centre, shown])[None], size, aligned, angle)


def crowd_mask(annotations: Sequence[Mapping[str, Any]], size: Size) -> np.ndarray:
    """(H, W) uint8: 0 on crowds and people without labelled joints, by their outline or else their box."""
    mask = np.ones(size, np.uint8)
    for a in annotations:
        if a["num_keypoints"] > 0:
            continue
        if a.get("segmentation"):
            mask[_outline(a["segmentation"], size) > 0] = 0
        else:
            x, y, w, h = a["bbox"]
            mask[max(0, int(y)) : int(np.ceil(y + h)), max(0, int(x)) : int(np.ceil(x + w))] = 0
    return mask


def _outline(segmentation: Any, size: Size) -> np.ndarray:
    """(H, W) of COCO's polygons or run lengths."""
    if isinstance(segmentation, list):
        outline = np.zeros(size, np.uint8)
        polygons = [np.round(np.reshape(p, (-1, 2))).astype(np.int32) for p in segmentation]
        return cv2.fillPoly(outline, polygons, 1)
    from pycocotools import mask as coco_mask

    if isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation)
