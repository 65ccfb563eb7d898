"""Seconds and memory of segmenting one 360x480 photograph on 2 threads, as ``scalenet segment`` does it.

Memory is the largest resident size of the whole run above what a bare ``import timm`` takes. Another network than
scalenet_s0: ``python -m benchmarks.segment NAME``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import timm  # noqa: F401  (the measure of memory)

from benchmarks import Measurement, show
from benchmarks._process import peak_mb, resident_mb

RUNS = 5


def photograph(folder: str) -> Path:
    """scikit-learn's china.jpg at 360x480, as a file."""
    from PIL import Image

    from scalenet.data.samples import sample_photograph

    path = Path(folder) / "china_360x480.png"
    Image.open(sample_photograph()).resize((480, 360)).save(path, icc_profile=None)
    return path


def measure(argv: list[str]) -> list[Measurement]:
    """Load once, then time a first and further images."""
    import torch

    torch.set_num_threads(2)
    bare = resident_mb() or peak_mb()
    from scalenet import Segmenter

    started = time.perf_counter()
    segmenter = Segmenter(argv[0] if argv else "scalenet_s0", device="cpu")
    loaded = time.perf_counter() - started
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = photograph(folder)
        for _ in range(1 + RUNS):
            started = time.perf_counter()
            segmenter(path)
            times.append(time.perf_counter() - started)
    return [
        Measurement("segment: load the network", loaded, "s"),
        Measurement("segment: first 360x480 image after load, 2 threads", times[0], "s", at_most=0.5),
        Measurement(f"segment: median of {RUNS} more", statistics.median(times[1:]), "s", at_most=0.5),
        Measurement("segment: resident above a bare import timm", peak_mb() - bare, "MB", at_most=250),
    ]


if __name__ == "__main__":
    show(measure)
