"""Everyday photographs: ``python -m benchmarks.everyday DATA [--crowds FOLDER] [--model NAME] [--limit N]``.

DATA holds ``stanford40``, ``tiny_imagenet`` and ``camvid``. Measured are the share of the labelled people found in
whole photographs (OKS of 0.5 at least), how many people are found in photographs without any, and COCO's AP on a folder
of composed crowds, as ``python -m training crowds`` writes it.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import Measurement, show
from scalenet.data.images import decode_rgb, read_rgb
from scalenet.data.keypoints import KeypointSet, read_results
from scalenet.data.labels import CAMVID
from scalenet.data.segmentation import find_pairs, read_label
from scalenet.evaluate.bottomup import estimate
from scalenet.evaluate.metrics.coco import score_coco
from scalenet.evaluate.metrics.recall import score_recall
from scalenet.predict.bottomup import BottomUpPoseEstimator

PHOTOGRAPHS, EMPTY, CROWDS = 500, 200, 300
PEOPLE = tuple(CAMVID.names.index(name) for name in ("pedestrian", "bicyclist"))
PART, STEPS = 0.6, 5  # of a street's sides, and places along each, where nobody is looked for


def without_people(data: Path, count: int) -> Iterator[np.ndarray]:
    """Images of things, by their classes in turn, and as many parts of streets that show nobody."""
    streets = [part for pair in find_pairs(data / "camvid", "val") if (part := _empty_part(*pair)) is not None]
    streets = streets[: count // 2]
    yield from streets
    with tarfile.open(data / "tiny_imagenet" / "val.tar") as tar:
        members = sorted((m for m in tar if m.isfile()), key=lambda m: m.name)
        for n in np.linspace(0, len(members) - 1, count - len(streets)).round().astype(int):
            yield decode_rgb(tar.extractfile(members[n]).read())


def _empty_part(image: Path, label: Path) -> np.ndarray | None:
    """The first part of a street without a person's pixel, if there is one."""
    people = np.isin(read_label(label, len(CAMVID.names)), PEOPLE)
    h, w = (round(PART * s) for s in people.shape)
    for top in np.linspace(0, people.shape[0] - h, STEPS).astype(int)[::-1]:
        for left in np.linspace(0, people.shape[1] - w, STEPS).astype(int):
            part = np.s_[top : top + h, left : left + w]
            if not people[part].any():
                return read_rgb(image)[part]
    return None


def found_where_nobody_is(estimator: BottomUpPoseEstimator, data: Path, count: int) -> float:
    """How many people the default settings find in images without people."""
    return sum(len(estimator(image)) for image in without_people(data, count))


def recall(estimator: BottomUpPoseEstimator, data: Path, count: int) -> float:
    """Share of Stanford 40's labelled people found in its whole validation photographs."""
    photographs = KeypointSet.open(data / "stanford40", "val")
    image_ids = sorted(photographs.images)[:count]
    results = read_results(estimate(estimator, photographs, image_ids, bar=False), photographs)
    return score_recall(results, photographs, image_ids)["recall"]


def measure(argv: list[str]) -> list[Measurement]:
    """All metrics; those of crowds only where there is a folder of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.everyday", description=__doc__)
    parser.add_argument("data", nargs="?", default="../shared/data", help="folder of the data sets")
    parser.add_argument("--crowds", help="folder of composed crowds, split val")
    parser.add_argument("--model", default="scalenet_p0_bottomup", help="bottom-up network with COCO's joints")
    parser.add_argument("--limit", type=int, default=0, help="at most so many images of each kind")
    args = parser.parse_args(argv)
    data, most = Path(args.data), args.limit or max(PHOTOGRAPHS, EMPTY, CROWDS)
    estimator = BottomUpPoseEstimator(args.model, flip=True)
    metrics = []
    if (data / "stanford40").is_dir():
        count = min(most, PHOTOGRAPHS)
        value = recall(estimator, data, count)
        metrics.append(Measurement(f"labelled people found, {count} whole photographs", value, "recall"))
    if (data / "camvid").is_dir() and (data / "tiny_imagenet").is_dir():
        count = min(most, EMPTY)
        value = found_where_nobody_is(estimator, data, count)
        metrics.append(Measurement(f"people found, {count} images without any", value, "people"))
    if args.crowds:
        crowds = KeypointSet.open(args.crowds, "val")
        image_ids = sorted(crowds.images)[: min(most, CROWDS)]
        estimator = BottomUpPoseEstimator(args.model, flip=True, person_threshold=0.0)
        scores = score_coco(read_results(estimate(estimator, crowds, image_ids, bar=False), crowds), crowds, image_ids)
        name = f"{len(image_ids)} composed crowds"
        metrics += [Measurement(f"{name}: {key.upper()}", scores[key] or 0.0, key.upper()) for key in ("ap", "ap50")]
    return metrics


if __name__ == "__main__":
    show(measure)
