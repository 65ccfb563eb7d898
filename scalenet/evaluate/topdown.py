"""A top-down network over a data set: COCO's figures, or PCK on LSP.

N people, K joints. The paper's protocol: person score = box score x mean of the joint scores above 0.2, then OKS
suppression at 0.9 within a picture.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..fold import fold
from ..network import ScaleNet
from ..predict.affine import crop_regions
from ..predict.boxes import Boxes, boxes_of, read_boxes
from ..predict.loading import load_model, name_of
from ..predict.topdown import PoseEstimator
from . import DataError
from .coco import NMS_THRESHOLD, oks_nms, score_coco
from .crowdpose import score_crowdpose
from .keypoint_data import KeypointSet, Result, read_results, sigmas_of, write_json
from .pck import score_pck

SCORES = {"coco": score_coco, "lsp": score_pck, "crowdpose": score_crowdpose}
PICTURES_A_TIME = 64


def estimate(
    estimator: PoseEstimator, data: KeypointSet, image_ids: Sequence[Any], boxes: Boxes | None = None, bar: bool = True
) -> list[Result]:
    """COCO-form results of every person box of the pictures, near doubles suppressed.

    Args:
        boxes: a detector's, by image id or file name; None: the annotations' own.
        bar: show progress on a terminal.
    """
    labels = data.labels or estimator.labels
    sigmas = sigmas_of(labels)
    results: list[Result] = []
    rows = _boxes_by_image(data, image_ids, boxes)
    starts = range(0, len(image_ids), PICTURES_A_TIME)
    for start in tqdm(starts, desc="pictures", unit=f"x{PICTURES_A_TIME}", disable=None if bar else True):
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


def evaluate(
    name: str | Path | ScaleNet,
    dataset: str,
    root: str | Path,
    split: str = "val",
    *,
    checkpoint: str | Path | None = None,
    limit: int | None = None,
    flip: bool | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    boxes: str | Path | None = None,
    decode: str = "dark",
    results: str | Path | None = None,
) -> dict[str, Any]:
    """Figures of a top-down network over a split, and what they hold for.

    Args:
        name, checkpoint: as in :func:`scalenet.predict.loading.load_model`.
        dataset: "coco" (ap, ap50, ap75, apm, apl, ar), "lsp" (pck, per_joint, joints) or "crowdpose" (ap, ap50, ap75,
            ar, ap_easy, ap_medium, ap_hard).
        root, split: ``annotations/person_keypoints_SPLIT.json`` and ``SPLIT/`` pictures, or ``annotations/SPLIT.json``
            and ``images/SPLIT/``.
        limit: only the first pictures.
        flip: mirror test; default yes.
        boxes: a detector's result file; default the annotations' boxes.
        decode: "dark" or "quarter".
        results: also write the results to this file, in the form COCO's server takes.

    Returns:
        model, dataset, split, images, people, seconds, boxes (source), flip, decode, oks_nms, input_size, and the
        figures as fractions (none for a split without annotations, such as test-dev).

    Raises:
        DataError: for folders or files that are not what was looked for, or joints that are not the network's.
    """
    if dataset not in SCORES:
        raise DataError(f"a top-down network is scored on {', '.join(SCORES)}, not on {dataset}")
    data = KeypointSet.open(root, split)
    estimator = PoseEstimator(fold(load_model(name, checkpoint)), device, flip is not False, decode, batch_size or 32)
    _check(estimator, data, flip, boxes)
    table = read_boxes(boxes) if boxes else None
    image_ids = sorted(data.images)[:limit]
    started = time.perf_counter()
    found = estimate(estimator, data, image_ids, table)
    seconds = round(time.perf_counter() - started, 2)
    if results:
        write_json(results, found)
    figures = SCORES[dataset](read_results(found, data), data, image_ids) if data.annotations else {}
    return {
        "model": name_of(name), "dataset": dataset, "split": split,
        "boxes": Path(boxes).name if boxes else "ground truth", "flip": estimator.flip, "decode": decode,
        "oks_nms": NMS_THRESHOLD, "input_size": list(estimator.input_size), "images": len(image_ids),
        "people": len(found), "seconds": seconds, **figures,
    }  # fmt: skip


def score(results: str | Path, dataset: str, annotations: str | Path) -> dict[str, Any]:
    """The same figures for anybody's COCO-form results file; any joints and skeleton that ``annotations`` name.

    Raises:
        FileNotFoundError, DataError: for a file that is missing, in another form, or of other pictures or joints.
    """
    data = KeypointSet(annotations)
    entries = read_results(results, data)
    return {
        "dataset": dataset, "annotations": str(annotations), "images": len(data.images), "people": len(entries),
        **SCORES[dataset](entries, data),
    }  # fmt: skip


def _check(estimator: PoseEstimator, data: KeypointSet, flip: bool | None, boxes: str | Path | None) -> None:
    network = estimator.model
    data.check_model(network.labels.names if network.labels else (), network.num_classes)
    if flip and not estimator.flip:
        raise DataError("the network names no left and right joints: evaluate it with --no-flip")
    if not boxes and not data.annotations:
        raise DataError(f"{data.path} labels nobody: give a detector's boxes")
