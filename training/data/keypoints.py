"""People in boxes with their joints: augmented crops, heatmap targets and visibility weights (COCO's keypoint form).

K joints, (H, W) crops, (h, w) heatmaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalenet.data.keypoints import KeypointSet
from scalenet.data.labels import Labels, map_keypoints, shared_joints
from scalenet.data.transforms import crop, crop_matrices, crop_regions, transform
from scalenet.pose.codec import HeatmapCodec

from . import DataError, Size, mirrored_where_known
from .augment import jitter

LOWER_BODY = ("hip", "knee", "ankle")
HALF_BODY_JOINTS = 8  # half a person is cut out only where more joints than this are labelled
HALF_BODY_PADDING = 1.5
ROTATED_SHARE = 0.6
KEEP_BYTES = 1 << 31  # 2 GB: images of a split that needs less are kept in memory once decoded


@dataclass(frozen=True)
class Augmentation:
    """The paper's, and a change of colour.

    Args:
        rotation: standard deviation in degrees, cut at twice that; three samples in five are rotated.
        scale: standard deviation of the crop's scale around 1, cut at one.
        half_body: probability that a well labelled person is cut to the upper or lower half.
        flip: probability of a mirrored crop.
        colour: largest change of brightness, contrast and saturation.
        upper: of those who are cut, the share of whom the upper half stays.
    """

    rotation: float = 45.0
    scale: float = 0.35
    half_body: float = 0.3
    flip: float = 0.5
    colour: float = 0.3
    upper: float = 0.5


class KeypointSource:
    """Labelled people of a split, one sample each.

    Args:
        root, split: as :meth:`scalenet.data.keypoints.KeypointSet.open` finds them.
        sigma: of the targets in heatmap pixels; 0: by the crop's size.
        workers: loader processes, each of which keeps images of its own.
        labels: joints wanted, in order; those of them that the split has not are unlabelled. Default the split's own.
        absent: weight of the empty heatmap of a joint that the crop does not show: one that lies outside it, or that
            the split labels on others and not on this person. 0, the paper's, leaves such heatmaps free, and a network
            then invents legs for a portrait.

    Raises:
        DataError: if the split, an image or labelled people are missing, or none of its joints is wanted.
    """

    def __init__(
        self, root: str, split: str, augmentation: Augmentation = Augmentation(), sigma: float = 0.0, workers: int = 0,
        labels: Labels | None = None, absent: float = 0.0,
    ) -> None:  # fmt: skip
        self.data = KeypointSet.open(root, split)
        people = self.data.people()
        if not len(people.keypoints):
            raise DataError(f"{self.data.path} labels nobody")
        self.labels: Labels = labels or self.data.labels
        self.sigma = sigma
        self.augmentation = mirrored_where_known(augmentation, self.labels)
        names, wanted = self.data.labels.names, self.labels.names
        if not shared_joints(names, wanted):
            raise DataError(f"{self.data.path} has none of the joints {', '.join(wanted)}; it has {', '.join(names)}")
        self.boxes, self.keypoints = people.boxes, map_keypoints(people.keypoints, names, wanted)
        self.absent = np.array([absent if name in names else 0.0 for name in wanted], np.float32)
        self.image_ids = people.image_ids.tolist()
        self.flip_order = self.labels.flip_order()
        self.lower = np.array([any(part in name.lower() for part in LOWER_BODY) for name in self.labels.names])
        self._codecs: dict[Size, HeatmapCodec] = {}
        used = [self.data.images[i] for i in dict.fromkeys(self.image_ids) if self.data.image(i)]  # all are there
        size = sum(3 * image.get("height", 1 << 15) * image.get("width", 1 << 15) for image in used)
        self._kept: dict[object, np.ndarray] | None = {} if size * max(1, workers) <= KEEP_BYTES else None

    def codec(self, size: Size) -> HeatmapCodec:
        """What makes the heatmaps of (H, W) crops."""
        if size not in self._codecs:
            self._codecs[size] = HeatmapCodec(size, sigma=self.sigma, convention=self.labels.convention)
        return self._codecs[size]

    def __len__(self) -> int:
        return len(self.image_ids)

    def image(self, index: int) -> np.ndarray:
        """The whole RGB image of a person."""
        image_id = self.image_ids[index]
        if self._kept is None:
            return self.data.pixels(image_id)
        if image_id not in self._kept:
            self._kept[image_id] = self.data.pixels(image_id)
        return self._kept[image_id]

    def load(self, index: int, size: Size) -> np.ndarray:
        """The person's (H, W, 3) crop as it is at prediction."""
        regions = crop_regions(self.boxes[index : index + 1], size)
        return crop(self.image(index), crop_matrices(regions, size, self.codec(size).aligned)[0], size)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """An augmented crop (H, W, 3) uint8, its heatmaps (K, h, w) and weights (K,) float32."""
        codec, aug = self.codec(size), self.augmentation
        region, angle = self._region(index, rng, size)
        matrix = crop_matrices(region, size, codec.aligned, angle)
        keypoints = transform(matrix, self.keypoints[index : index + 1])[0]
        if rng.random() < aug.flip:
            matrix[:, 0] = -matrix[:, 0] + [0, 0, size[1] - 1]
            keypoints[:, 0] = size[1] - 1 - keypoints[:, 0]
            keypoints = keypoints[self.flip_order]
        image = crop(self.image(index), matrix[0], size)
        if aug.colour:
            image = jitter(image, rng, aug.colour)
        heatmaps, weights = codec.encode(keypoints)
        return image, heatmaps, np.where(weights > 0, weights, self.absent)

    def _region(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, float]:
        """A random (1, 4) region around the person or half of it, and a random rotation in degrees."""
        aug, region = self.augmentation, crop_regions(self.boxes[index : index + 1], size)
        if rng.random() < aug.half_body:
            region = self._half_body(index, rng, size, region)
        if aug.scale:
            region[:, 2:] *= np.clip(1 + aug.scale * rng.standard_normal(), 1 - aug.scale, 1 + aug.scale)
        limit = 2 * aug.rotation
        angle = float(np.clip(aug.rotation * rng.standard_normal(), -limit, limit))
        return region, angle if rng.random() < ROTATED_SHARE else 0.0

    def _half_body(self, index: int, rng: np.random.Generator, size: Size, whole: np.ndarray) -> np.ndarray:
        """The (1, 4) region of the upper or lower half; ``whole`` where too few joints are labelled."""
        joints = self.keypoints[index]
        seen = joints[:, 2] > 0
        if seen.sum() <= HALF_BODY_JOINTS:
            return whole
        halves = [joints[seen & ~self.lower, :2], joints[seen & self.lower, :2]]
        chosen = halves[int(rng.random() < 1 - self.augmentation.upper)]
        chosen = chosen if len(chosen) > 2 else max(halves, key=len)
        low, high = chosen.min(0), np.maximum(chosen.max(0), chosen.min(0) + 1)
        region = crop_regions(np.concatenate([low, high])[None], size, HALF_BODY_PADDING)
        region[0, :2] = chosen.mean(0)
        return region
