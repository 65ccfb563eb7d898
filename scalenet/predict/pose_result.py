"""What a pose estimator found in one picture. N people, K joints; coordinates are pixels of the original picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..datasets import JOINT_SIGMAS, Labels
from .draw_pose import DRAWN_THRESHOLD, draw_skeletons
from .images import Picture, load_image
from .results import Result

JOINT_THRESHOLD = 0.2  # of joints that count for a person's score
SURE_THRESHOLD = 0.3  # the same where joints say how sure they are; chosen on Stanford 40 val
PLAIN_SIGMA = 0.08  # of joints that no data set gives one for: a shoulder's
NMS_THRESHOLD = 0.9


def person_scores(
    keypoints: np.ndarray, box_scores: np.ndarray | float = 1.0, sure: np.ndarray | None = None
) -> np.ndarray:
    """(N,) box score x mean of the joint scores above 0.2 (the paper's protocol); 0 where no joint is above.

    Args:
        sure: (N, K) expected similarities, of which the mean is taken instead, over joints scored above 0.3.
    """
    joints = keypoints[..., 2]
    good = joints > (JOINT_THRESHOLD if sure is None else SURE_THRESHOLD)
    return np.where(good, joints if sure is None else sure, 0).sum(-1) / np.maximum(good.sum(-1), 1) * box_scores


def oks(
    person: np.ndarray, others: np.ndarray, area: float, areas: np.ndarray, sigmas: np.ndarray,
    counted: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """(N,) object keypoint similarity of a (K, 3) person to (N, K, 3) others, at the mean of their areas.

    Args:
        counted: (N, K) bool, joints that count (default all); 0 where none does.
    """
    squared = ((others[..., :2] - person[:, :2]) ** 2).sum(-1)
    scale = (area + areas)[:, None] / 2 + np.spacing(1)
    each = np.exp(-squared / (2 * sigmas) ** 2 / scale / 2)
    return each.mean(-1) if counted is None else (each * counted).sum(-1) / np.maximum(counted.sum(-1), 1)


def oks_nms(
    keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, threshold: float = NMS_THRESHOLD
) -> list[int]:
    """Indices of the people kept, best first: nobody is more like a better-scored one than ``threshold``."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(int(first))
        order = order[oks(keypoints[first], keypoints[order], areas[first], areas[order], sigmas) <= threshold]
    return kept


def likely_sigmas(labels: Labels) -> np.ndarray:
    """(K,) OKS sigmas: the labels' own, else by the joint's name, else a middle one."""
    return np.array(labels.sigmas or [JOINT_SIGMAS.get(name, PLAIN_SIGMA) for name in labels.names])


@dataclass(frozen=True, eq=False)
class PoseResult(Result):
    """People in one picture; nobody found: arrays of length 0.

    Args:
        keypoints: (N, K, 3) float32 x, y, score; a whole number is the centre of a pixel.
        scores: (N,) float32 per person.
        boxes: (N, 4) float32 x1, y1, x2, y2 that were looked into, given or a detector's; None where no boxes are used
            or the whole picture was looked into.
        labels: names, skeleton and colours of the joints.
        ids: (N,) whole numbers that a :class:`~scalenet.predict.tracking.Tracker` gave, -1 for who cannot be followed;
            None if nobody is followed.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None
    labels: Labels
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def draw(self, image: Picture, threshold: float = DRAWN_THRESHOLD, strength: float = 1.0) -> np.ndarray:
        """RGB (H, W, 3) uint8 copy of ``image`` (whatever the estimator takes) with skeletons drawn,
        and ids if there are.

        Args:
            threshold: joints with a lower score are left out.
            strength: opacity of the skeletons, 0..1.
        """
        picture = load_image(image)
        drawn = draw_skeletons(picture, self.keypoints, self.labels, threshold, self.ids)
        return drawn if strength >= 1 else cv2.addWeighted(drawn, strength, picture, 1 - strength, 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: names, and per person keypoints [[x, y, score], …], score and box. If people are
        followed their ids too, null for who cannot be."""
        boxes = None if self.boxes is None else np.round(self.boxes.astype(float), 2).tolist()
        return {
            "dataset": self.labels.dataset,
            "names": list(self.labels.names),
            "keypoints": np.round(self.keypoints.astype(float), 4).tolist(),
            "scores": np.round(self.scores.astype(float), 4).tolist(),
            "boxes": boxes,
            **({} if self.ids is None else {"ids": [int(i) if i >= 0 else None for i in self.ids]}),
        }

    def to_coco(self, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
        """The people in COCO's result form, one flat keypoint list and a score each."""
        rows = np.round(self.keypoints.astype(float), 4).reshape(len(self), 3 * self.keypoints.shape[1])
        return [
            {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": round(float(score), 6)}
            for row, score in zip(rows.tolist(), self.scores, strict=True)
        ]
