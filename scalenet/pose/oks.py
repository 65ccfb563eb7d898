"""Object keypoint similarity: scores of people, and who is seen twice. N people, K joints."""

from __future__ import annotations

import numpy as np

from ..data.labels import JOINT_SIGMAS, Labels

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
    person: np.ndarray, others: np.ndarray, area: float | np.ndarray, areas: np.ndarray, sigmas: np.ndarray,
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
    keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray,
    threshold: float = NMS_THRESHOLD, seen: np.ndarray | None = None,
) -> list[int]:  # fmt: skip
    """Indices of the people kept, best first: nobody is more like a better-scored one than ``threshold``.

    Args:
        seen: (N, K) bool, joints by which two people are compared if both have them (default all): where one box held
            half of somebody, the other half's joints are guesses.
    """
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(int(first))
        counted = None if seen is None else seen[first] & seen[order]
        order = order[oks(keypoints[first], keypoints[order], areas[first], areas[order], sigmas, counted) <= threshold]
    return kept


def likely_sigmas(labels: Labels) -> np.ndarray:
    """(K,) OKS sigmas: the labels' own, else by the joint's name, else a middle one."""
    return np.array(labels.sigmas or [JOINT_SIGMAS.get(name, PLAIN_SIGMA) for name in labels.names])
