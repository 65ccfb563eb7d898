"""Boxes of people detected bottom-up, for top-down estimation. N people, K joints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torchvision.ops import nms

from ..pose.oks import JOINT_THRESHOLD
from .results import PoseResult

if TYPE_CHECKING:
    from .bottomup import BottomUpPoseEstimator

FINDER = "scalenet_p0_bottomup"
SURE = JOINT_THRESHOLD  # joints of a higher score count
ENOUGH = 3  # joints that must be sure
TINY = 0.05  # of the image's short side: whose box has no side that long is left out
DOUBLE = 0.7  # IoU of boxes above which a closer look would see the same person again
MARGIN = 0.12  # of the hull's longer side, all around: a body reaches beyond its joints
LEGS = ("hip", "knee", "ankle")
SPANS = (  # how far joints lie apart, as shares of a body's height
    ("left_eye", "right_eye", 0.037), ("left_ear", "right_ear", 0.09), ("nose", "left_ear", 0.07),
    ("nose", "right_ear", 0.07), ("left_shoulder", "right_shoulder", 0.2), ("head", "neck", 0.18),
    ("head_top", "neck", 0.18),
)  # fmt: skip
ABOVE, BELOW, BESIDE = 0.09, 0.45, 0.17  # of a body's height: from the highest joint up, down to the hips, to a side


def people_boxes(people: PoseResult, size: tuple[int, int]) -> np.ndarray:
    """(M, 5) boxes x1, y1, x2, y2, score for the top-down network, M <= N, highest score first.

    A box is the hull of the joints that score above 0.2, plus a margin, clipped to the image. Without a hip, knee or
    ankle among them, the body's height is estimated from head and shoulders, and the box extended to the hips'
    expected position. People with fewer than 3 such joints, a box smaller than a twentieth of the image's shorter
    side, or a box that nearly equals that of a higher-scored person (IoU above 0.7) are dropped.

    Args:
        people: result of a bottom-up network; boxes are only extended for joints with COCO's, CrowdPose's or LSP's
            names.
        size: (H, W) of the image.
    """
    rows = []
    for joints, score in zip(people.keypoints, people.scores, strict=True):
        sure = np.flatnonzero(joints[:, 2] > SURE)
        if len(sure) < ENOUGH:
            continue
        names = [people.labels.names[k] for k in sure]
        box = np.clip(_box(joints[sure, :2].astype(np.float64), names), 0, [size[1], size[0]] * 2)
        sides = box[2:] - box[:2]
        if sides.max() >= TINY * min(size) and sides.min() > 0:
            rows.append([*box, score])
    boxes = np.array(rows, np.float64).reshape(-1, 5)
    return boxes[nms(torch.from_numpy(boxes[:, :4]), torch.from_numpy(boxes[:, 4]), DOUBLE).numpy()]


def _box(joints: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(4,) corners around (n, 2) joints, extended to the likely upper body if the legs are missing."""
    low, high = joints.min(0), joints.max(0)
    margin = MARGIN * (high - low).max()
    low_corner, high_corner = low - margin, high + margin
    if not any(name.endswith(LEGS) for name in names):
        height, middle = _body_height(joints, names), (low[0] + high[0]) / 2
        low_corner = np.minimum(low_corner, [middle - BESIDE * height, low[1] - ABOVE * height])
        high_corner = np.maximum(high_corner, [middle + BESIDE * height, low[1] + BELOW * height])
    return np.concatenate([low_corner, high_corner])


def _body_height(joints: np.ndarray, names: Sequence[str]) -> float:
    """Height in pixels, estimated from the least foreshortened of head and shoulders; 0 if neither is known."""
    at = dict(zip(names, joints, strict=True))
    return max((np.hypot(*(at[a] - at[b])) / share for a, b, share in SPANS if a in at and b in at), default=0.0)


class BottomUpDetector:
    """A bottom-up person detector: RGB (H, W, 3) uint8 to (N, 5) boxes, see :func:`people_boxes`.

    Args:
        estimator: default: bottom-up ScaleNet-P0, loaded at the first image.
        device, engine, dtype: of the default estimator.
    """

    def __init__(
        self,
        estimator: BottomUpPoseEstimator | None = None,
        device: str | torch.device | None = None,
        engine: str = "torch",
        dtype: str | None = None,
    ) -> None:
        self._given = estimator
        self._where = device, engine, dtype

    @cached_property
    def estimator(self) -> BottomUpPoseEstimator:
        """The given estimator, or the default one, loaded now."""
        if self._given is not None:
            return self._given
        from .bottomup import BottomUpPoseEstimator

        device, engine, dtype = self._where
        return BottomUpPoseEstimator(FINDER, device, engine=engine, dtype=dtype)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(N, 5) x1, y1, x2, y2, score of the people in an RGB (H, W, 3) uint8 image."""
        return people_boxes(cast(PoseResult, self.estimator(image)), image.shape[:2])
