"""Average precision of keypoints by COCO's own evaluator, and top-down results over a data set to score with it.

N people, K joints. The paper's protocol: person score = box score x mean of the joint scores above 0.2, then OKS
suppression at 0.9 within a picture.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..network import ScaleNet
from ..predict.affine import crop_regions
from ..predict.boxes import Boxes, boxes_of, read_boxes
from ..predict.topdown import PoseEstimator
from . import DataError
from .keypoint_data import KeypointSet, Result, read_results, sigmas_of, write_json
from .pck import score_pck

FIGURES = ("ap", "ap50", "ap75", "apm", "apl", "ar")
NMS_THRESHOLD = 0.9
PICTURES_A_TIME = 64


def oks(person: np.ndarray, others: np.ndarray, area: float, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """(N,) object keypoint similarity of a (K, 3) person to (N, K, 3) others, at the mean of their areas."""
    squared = ((others[..., :2] - person[:, :2]) ** 2).sum(-1)
    scale = (area + areas)[:, None] / 2 + np.spacing(1)
    return np.exp(-squared / (2 * sigmas) ** 2 / scale / 2).mean(-1)


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


def score_coco(
    results: list[Result], data: KeypointSet, image_ids: Iterable[Any] | None = None, sigmas: Sequence[float] = ()
) -> dict[str, float | None]:
    """COCO's keypoint figures of COCO-form results (:func:`~scalenet.evaluate.keypoint_data.read_results`).

    Args:
        image_ids: score these pictures only.
        sigmas: (K,) OKS sigmas; default those of the joints' names.

    Returns:
        ap, ap50, ap75, apm, apl, ar as fractions; None where the pictures hold nobody of that size.
    """
    if data.labels is None or not data.annotations:
        raise DataError(f"{data.path} labels nobody: nothing can be scored with it")
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DataError("COCO figures need pycocotools: pip install 'scalenet[eval]'") from None
    sigmas = np.asarray(sigmas if len(sigmas) else sigmas_of(data.labels), np.float64)
    if len(sigmas) != len(data.labels.names):
        raise DataError(f"{len(data.labels.names)} joints need as many sigmas, got {len(sigmas)}")
    if not results:
        return dict.fromkeys(FIGURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        truth = COCO()
        truth.dataset = {"images": list(data.images.values()), "annotations": data.annotations,
                         "categories": [{"id": data.category_id, "name": "person"}]}  # fmt: skip
        truth.createIndex()
        found = truth.loadRes([{"category_id": data.category_id, **r} for r in results])
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.params.imgIds = sorted(data.images if image_ids is None else set(image_ids))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    return {name: float(stats[i]) if stats[i] >= 0 else None for i, name in enumerate(FIGURES)}


def estimate(
    estimator: PoseEstimator, data: KeypointSet, image_ids: Sequence[Any], boxes: Boxes | None = None
) -> list[Result]:
    """COCO-form results of every person box of the pictures, near doubles suppressed.

    Args:
        boxes: a detector's, by image id or file name; None: the annotations' own.
    """
    labels = data.labels or estimator.labels
    sigmas = sigmas_of(labels)
    results: list[Result] = []
    rows = _boxes_by_image(data, image_ids, boxes)
    starts = range(0, len(image_ids), PICTURES_A_TIME)
    for start in tqdm(starts, desc="pictures", unit=f"x{PICTURES_A_TIME}", disable=None):
        ids = image_ids[start : start + PICTURES_A_TIME]
        found = estimator([data.picture(i) for i in ids], [rows[i] for i in ids])
        for image_id, result in zip(ids, found, strict=True):
            areas = crop_regions(rows[image_id], estimator.input_size)[:, 2:].prod(1)
            kept = oks_nms(result.keypoints, result.scores, areas, sigmas)
            people = result.to_coco(image_id, data.category_id)
            results += [people[i] for i in kept]
    return results


def _boxes_by_image(data: KeypointSet, image_ids: Sequence[Any], boxes: Boxes | None) -> dict[Any, np.ndarray]:
    if boxes is None:
        people = data.people(image_ids)
        return {i: people.boxes[people.image_ids == i] for i in image_ids}
    empty, rows = np.zeros((0, 5)), {}
    for i in image_ids:
        mine = boxes.get(i)
        mine = boxes_of(boxes, data.images[i]["file_name"]) if mine is None else mine
        rows[i] = empty if mine is None else mine
    if not any(len(r) for r in rows.values()):
        raise DataError(f"the boxes file names none of the pictures of {data.path}")
    return rows


@dataclass(frozen=True)
class Protocol:
    """How a network is evaluated; all of it stands beside the figures.

    Args:
        boxes: a detector's result file; default the annotations' boxes.
        flip: mirror test.
        decode: "dark" or "quarter".
        limit: first pictures only (0: all).
        results: also write the results to this file, in the form COCO's server takes.
    """

    boxes: str | Path | None = None
    flip: bool = True
    decode: str = "dark"
    limit: int = 0
    batch_size: int = 32
    device: str | torch.device | None = None
    results: str | Path | None = None


def evaluate_coco(
    model: str | ScaleNet, root: str | Path, split: str, protocol: Protocol = Protocol()
) -> dict[str, Any]:
    """COCO's keypoint figures of a top-down network over a split in COCO's own layout.

    Args:
        model: a network or its name.
        root, split: ``annotations/person_keypoints_SPLIT.json`` and ``SPLIT/`` pictures, or ``annotations/SPLIT.json``
            and ``images/SPLIT/``.

    Returns:
        ap, ap50, ap75, apm, apl, ar (none for a split without annotations, such as test-dev), images, people, seconds,
        and what they hold for: boxes, flip, decode, oks_nms, input_size.

    Raises:
        DataError: for folders or files that are not what was looked for, or joints that are not the network's.
    """
    return _evaluate(model, root, split, protocol, score_coco)


def evaluate_lsp(
    model: str | ScaleNet, root: str | Path, split: str, protocol: Protocol = Protocol()
) -> dict[str, Any]:
    """PCK@0.2 of a top-down network over an LSP split: pck, per_joint, joints, the rest as :func:`evaluate_coco`."""
    return _evaluate(model, root, split, protocol, score_pck)


def _evaluate(
    model: str | ScaleNet, root: str | Path, split: str, protocol: Protocol, score: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    data = KeypointSet.open(root, split)
    estimator = PoseEstimator(model, protocol.device, protocol.flip, protocol.decode, protocol.batch_size)
    network = estimator.model
    data.check_model(network.labels.names if network.labels else (), network.num_classes)
    if protocol.flip and not estimator.flip:
        raise DataError("the network names no left and right joints: evaluate it with --no-flip")
    boxes = read_boxes(protocol.boxes) if protocol.boxes else None
    if boxes is None and not data.annotations:
        raise DataError(f"{data.path} labels nobody: give a detector's boxes")
    image_ids = sorted(data.images)[: protocol.limit or None]
    started = time.monotonic()
    found = estimate(estimator, data, image_ids, boxes)
    seconds = round(time.monotonic() - started, 2)
    if protocol.results:
        write_json(protocol.results, found)
    figures = score(read_results(found, data), data, image_ids) if data.annotations else {}
    return {
        **figures, "images": len(image_ids), "people": len(found), "seconds": seconds,
        "boxes": Path(protocol.boxes).name if protocol.boxes else "ground truth", "flip": estimator.flip,
        "decode": protocol.decode, "oks_nms": NMS_THRESHOLD, "input_size": list(estimator.input_size),
    }  # fmt: skip
