"""Bottom-up metrics: ``python -m benchmarks.bottomup [--crowdpose FILE] [--images N] [--model NAME]``.

Grouping of 30 people x 17 joints at 512x512, and of 100 people against 25, on one core; perfect maps made from
CrowdPose's annotations, grouped and scored by CrowdPose's metrics; a 512x512 image through scalenet_p0_bottomup
on two cores.
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
from benchmarks._process import run
from scalenet.data.keypoints import KeypointSet, Result, read_results
from scalenet.data.sizes import canvas_size
from scalenet.data.transforms import crop_matrices, invert, transform
from scalenet.evaluate.metrics.crowdpose import score_crowdpose
from scalenet.pose.grouping import group_keypoints
from scalenet.predict.bottomup import BottomUpPoseEstimator

TAG_STEP = 2.0


def seconds(call: Callable[[], Any], runs: int = 9) -> float:
    """Median of ``runs`` calls after two to warm up."""
    times = []
    for _ in range(runs + 2):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def draw_maps(keypoints: np.ndarray, size: tuple[int, int], sigma: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps and tags (K, H, W) of people (N, K, 3): Gaussians, and person n's tag 2n around each joint."""
    h, w = size
    reach = int(3 * sigma)
    heatmaps, tags = np.zeros((keypoints.shape[1], h, w), np.float32), np.zeros((keypoints.shape[1], h, w), np.float32)
    for n, j in np.argwhere(keypoints[..., 2] > 0):
        x, y = keypoints[n, j, :2]
        columns = np.arange(max(0, int(x) - reach), min(w, int(x) + reach + 1))
        rows = np.arange(max(0, int(y) - reach), min(h, int(y) + reach + 1))
        if not len(rows) or not len(columns):
            continue
        value = np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)
        window = np.s_[j, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        nearest = value > heatmaps[window]
        heatmaps[window][nearest] = value[nearest]
        tags[window][nearest] = TAG_STEP * (n + 1)
    return heatmaps, tags


def grouping_scene(people: int, joints: int = 17, size: tuple[int, int] = (512, 512)) -> tuple[np.ndarray, np.ndarray]:
    """Noisy maps of people whose joints lie anywhere, each missing with probability 0.15."""
    rng = np.random.default_rng(people)
    keypoints = np.concatenate(
        [rng.uniform(8, np.array(size) - 8, (people, joints, 2)), rng.random((people, joints, 1)) > 0.15], 2
    )
    heatmaps, tags = draw_maps(keypoints, size)
    heatmaps += rng.normal(0, 0.01, heatmaps.shape).astype(np.float32)
    tags += rng.normal(0, 0.05, tags.shape).astype(np.float32)
    return heatmaps, tags


def grouping_ms(people: int) -> float:
    """Candidates, matching, adjust and refine of one scene."""
    maps = grouping_scene(people)
    return 1000 * seconds(lambda: group_keypoints(*maps, max_people=people))


def share_a_pixel(keypoints: np.ndarray) -> bool:
    """Whether one joint of two people falls on the same whole pixel."""
    return any(
        len(np.unique(np.floor(joint[joint[:, 2] > 0, :2]), axis=0)) < (joint[:, 2] > 0).sum()
        for joint in keypoints.swapaxes(0, 1)
    )


def perfect_results(data: KeypointSet, limit: int, side: int = 512) -> tuple[list[Result], list[Any]]:
    """What grouping makes of perfect maps of the first images, at the size a network would see them.

    Returns the results, and the images that count: those where joints of different people do not share a pixel.
    """
    results, counted = [], []
    for image_id in sorted(data.images)[:limit]:
        people = data.people([image_id]).keypoints
        height, width = data.images[image_id]["height"], data.images[image_id]["width"]
        size = canvas_size(height, width, side)
        scale = min(size[0] / height, size[1] / width)
        matrix = crop_matrices(np.array([[width / 2, height / 2, size[1] / scale, size[0] / scale]]), size, True)
        moved = transform(np.repeat(matrix, len(people), 0), people)
        if not len(people) or share_a_pixel(moved):
            continue
        counted.append(image_id)
        keypoints, scores = group_keypoints(*draw_maps(moved, size), max_people=max(30, len(people)))
        keypoints = keypoints.astype(float)
        keypoints[..., :2] -= 0.5
        keypoints = transform(np.repeat(invert(matrix), len(keypoints), 0), keypoints)
        results += [
            {"image_id": image_id, "category_id": data.category_id, "keypoints": k.ravel().tolist(), "score": float(s)}
            for k, s in zip(keypoints, scores, strict=True)
        ]
    return results, counted


def one_image(model: str) -> Callable[[], Any]:
    """Finds everybody in a 512x512 image of noise, on 2 threads."""
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    estimator = BottomUpPoseEstimator(model, device="cpu", input_size=512)
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    return lambda: estimator(image)


def resident_mb_above_timm(model: str) -> float:
    """The most that is ever resident in a process that looks at one image, above a bare ``import timm``."""
    code = (
        "import sys, timm\nfrom benchmarks._process import peak_mb, resident_mb\nbare = resident_mb() or peak_mb()\n"
        "from benchmarks.bottomup import one_image\none_image(sys.argv[1])()\nprint(peak_mb() - bare)"
    )
    return run(code, model)[0]


def measure(argv: list[str]) -> list[Measurement]:
    """All metrics; those of CrowdPose only where its annotations are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bottomup", description=__doc__)
    parser.add_argument("--crowdpose", default="../shared/data/crowdpose/annotations/crowdpose_val_a.json")
    parser.add_argument("--images", type=int, default=300, help="of CrowdPose, the first by id")
    parser.add_argument("--model", default="scalenet_p0_bottomup", help="bottom-up network")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    times = {n: grouping_ms(n) for n in (25, 30, 100)}
    metrics = [
        Measurement("grouping, 30 people x 17 joints, 512x512, one core", times[30], "ms", at_most=40),
        Measurement("grouping, 100 people against 25 (4 times as many)", times[100] / times[25], "times", at_most=4),
    ]
    if Path(args.crowdpose).is_file():
        data = KeypointSet(args.crowdpose)
        results, counted = perfect_results(data, args.images)
        ap = score_crowdpose(read_results(results, data), data, counted)["ap"]
        metrics += [
            Measurement(
                f"perfect CrowdPose maps, grouped: AP ({len(counted)} of {args.images} images)",
                ap,
                "AP",
                None,
                0.98,
            )
        ]
    speed = 1 / seconds(one_image(args.model), 5)
    return [
        *metrics,
        Measurement(f"image in, people out, 512x512, 2 cores ({args.model})", speed, "images/s", None, 4),
        Measurement(
            "everyone: resident above a bare import timm", resident_mb_above_timm(args.model), "MB", at_most=500
        ),
    ]


if __name__ == "__main__":
    show(measure)
