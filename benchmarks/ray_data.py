"""Rows a second of ``scalenet.ray.predict`` with 1 and 2 actors of one thread each, on this machine.

What starting costs (Ray, actors, the network) is taken off: the time of few images is subtracted from that of many. Two
cores should be free. Other numbers of images and another network: ``python -m benchmarks.ray_data 400 scalenet_s0``.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks import Measurement, show
from benchmarks.segment import photograph

FEW = 8
IMAGES = 200


def seconds(images: list[Path], model: str, actors: int) -> float:
    """Time of all rows, nothing kept."""
    from scalenet.ray import predict

    started = time.perf_counter()
    rows = predict(images, model, actors=actors, batch_size=4).count()
    assert rows == len(images)
    return time.perf_counter() - started


def measure(argv: list[str]) -> list[Measurement]:
    """One actor, then two."""
    count, model = int(argv[0]) if argv else IMAGES, argv[1] if len(argv) > 1 else "scalenet_s0"
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        first = photograph(folder)
        images = [Path(folder) / f"{i}.png" for i in range(count)]
        for image in images:
            shutil.copyfile(first, image)
        for actors in (1, 2):
            spent = seconds(images, model, actors) - seconds(images[:FEW], model, actors)
            rates[actors] = (count - FEW) / spent
    return [
        Measurement("ray data: 360x480 images a second, 1 actor", rates[1], "rows/s"),
        Measurement("ray data: 360x480 images a second, 2 actors", rates[2], "rows/s"),
        Measurement("ray data: 2 actors against 1", rates[2] / rates[1], "times", at_least=1.7),
    ]


if __name__ == "__main__":
    show(measure)
