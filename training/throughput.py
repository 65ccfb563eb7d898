"""How many augmented samples a loader gives: what bounds training once the network is fast.

``python -m training.throughput ROOT`` prints it for the keypoint set in that folder.
"""

from __future__ import annotations

import sys
import time

import cv2

from .data import make_loader
from .data.keypoints import KeypointSource


def crops_per_second(root: str, seconds: float = 10.0, workers: int = 2) -> float:
    """Augmented 256x192 crops with targets from a keypoint set's training split, batches of 32."""
    cv2.setNumThreads(1)
    batches = iter(make_loader(KeypointSource(root, "train"), 32, lambda step: (256, 192), workers=workers))
    for _ in range(2 * workers):
        next(batches)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        count += len(next(batches)[0])
    return round(count / (time.perf_counter() - started), 1)


if __name__ == "__main__":
    print(crops_per_second(sys.argv[1]))
