"""Pose metrics: ``python -m benchmarks.pose [--root LSP] [--model NAME] [--everyone NAME] [--threads N]``.

Decode + flip merge + affine back of 64 people x 17 joints at 96x72 on one core; the whole top-down path for 20 people
in one 960x1280 image; a 480x640 photograph with three people: bottom-up alone, found and then looked at one by one,
and with their boxes given; augmented 256x192 crops with heatmap targets from two workers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import Measurement, show
from benchmarks._process import run_module
from scalenet.data.images import load_image
from scalenet.data.labels import COCO, DECODERS
from scalenet.data.samples import sample_photograph, sample_portrait
from scalenet.data.transforms import crop_matrices, crop_regions, invert, transform
from scalenet.pose.codec import HeatmapCodec
from scalenet.predict.bottomup import BottomUpPoseEstimator
from scalenet.predict.topdown import PoseEstimator


def milliseconds(call: Callable[[], Any], runs: int = 20) -> float:
    """Median of ``runs`` calls after three to warm up."""
    times = []
    for _ in range(runs + 3):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times[3:]), 2)


def decode_ms(convention: str, method: str) -> float:
    """64 people x 17 joints at 96x72, heatmaps to joints in the image, on one core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    codec = HeatmapCodec((384, 288), convention=convention, decode_method=method, sigmas=COCO.sigmas)
    joints = np.concatenate([rng.uniform(0, (288, 384), (64, 17, 2)), np.ones((64, 17, 1))], 2)
    heatmaps = codec.encode(joints)[0] + rng.normal(0, 0.02, (64, 17, 96, 72)).astype(np.float32)
    mirrored = np.ascontiguousarray(heatmaps[..., ::-1])
    corners = rng.uniform(0, 500, (64, 2))
    boxes = np.hstack([corners, corners + rng.uniform(50, 300, (64, 2))])
    matrices = crop_matrices(crop_regions(boxes, codec.input_size), codec.input_size, codec.aligned)
    order = COCO.flip_order()
    return milliseconds(lambda: transform(invert(matrices), codec.decode(heatmaps, mirrored, order)))


def people_per_second(model: str, threads: int) -> float:
    """20 boxes in one image, the whole top-down path."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    rng = np.random.default_rng(0)
    estimator = PoseEstimator(model, device="cpu")
    image = rng.integers(0, 256, (960, 1280, 3), dtype=np.uint8)
    corners = rng.uniform(0, (1000, 600), (20, 2))
    boxes = np.hstack([corners, corners + rng.uniform(100, 350, (20, 2))])
    return round(20_000 / milliseconds(lambda: estimator(image, boxes), runs=5), 1)


def three_people() -> tuple[np.ndarray, list[list[int]]]:
    """matplotlib's portrait three times, 200 to 300 high, in scikit-learn's 480x640 photograph, and their corners."""
    image, portrait = cv2.resize(load_image(sample_photograph()), (640, 480)), load_image(sample_portrait())
    boxes = []
    for left, height in ((10, 200), (190, 250), (390, 280)):
        width = height * portrait.shape[1] // portrait.shape[0]
        place = np.s_[480 - height :, left : left + width]
        image[place] = cv2.resize(portrait, (width, height), interpolation=cv2.INTER_AREA)
        boxes.append([left, 480 - height, left + width, 480])
    return image, boxes


def everybody(model: str, everyone: str, threads: int) -> list[Measurement]:
    """Milliseconds for the same three people in each of three ways."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    image, boxes = three_people()
    finder = BottomUpPoseEstimator(everyone, device="cpu")
    estimator = PoseEstimator(model, device="cpu", detector=finder)
    ways = {
        f"{everyone} alone": lambda: finder(image),
        f"{len(estimator(image))} found, each looked at": lambda: estimator(image),
        f"boxes given, {model}": lambda: estimator(image, boxes),
    }
    return [
        Measurement(f"pose: 3 people, {way}, {threads} threads", milliseconds(w, 7), "ms") for way, w in ways.items()
    ]


def measure(argv: list[str]) -> list[Measurement]:
    """Decoding, the top-down path, everybody in an image, and the loader where LSP is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pose")
    parser.add_argument("--root", default="../shared/data/lsp", help="LSP (left out where it is not there)")
    parser.add_argument("--model", default="scalenet_p0", help="network of the top-down path")
    parser.add_argument("--everyone", default="scalenet_p0_bottomup", help="bottom-up network that finds people")
    parser.add_argument("--threads", type=int, default=2, help="of the network")
    args = parser.parse_args(argv)
    ways = [(c, m) for c in ("authors", "aligned") for m in DECODERS]
    metrics = [
        Measurement(f"pose: decode 64 people at 96x72, {c}, {m}, 1 thread", decode_ms(c, m), "ms", at_most=25)
        for c, m in ways
    ]
    speed, threads = people_per_second(args.model, args.threads), f"{args.threads} threads"
    metrics.append(Measurement(f"pose: top-down with flip, {args.model}, {threads}", speed, "people/s", at_least=15))
    metrics += everybody(args.model, args.everyone, args.threads)
    if Path(args.root).is_dir():
        (speed,) = run_module("training.throughput", args.root)
        metrics.append(
            Measurement("pose: training crops 256x192 with targets, 2 workers", speed, "crops/s", at_least=250)
        )
    return metrics


if __name__ == "__main__":
    show(measure)
