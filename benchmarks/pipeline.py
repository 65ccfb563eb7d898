"""Where a picture's time goes: ``python -m benchmarks.pipeline [--engine E] [--dtype D] [--threads N]``.

Milliseconds of decoding a JPEG, bringing it to the network's size, making its tensor, the network, what is made of its
outputs, and drawing, for scalenet_s0 (scikit-learn's photograph, 427x640) and scalenet_p0 (matplotlib's portrait,
600x512, one person in a box, not mirrored). The parts take turns; figures are medians. ``beside the network`` is the
share of everything else. Drawing is there twice: the picture's own, and written as the commands write it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import Measurement, show
from scalenet.data.images import as_tensor, load_image, pad_to_multiple
from scalenet.data.samples import sample_photograph, sample_portrait
from scalenet.data.sizes import COARSEST
from scalenet.predict.segmentation import Segmenter, index_mask
from scalenet.predict.topdown import PoseEstimator

Parts = dict[str, Callable[[], Any]]


def in_turn(parts: Parts, rounds: int) -> dict[str, float]:
    """Median milliseconds of each, round by round, after two to warm up."""
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds + 2):
        for name, call in parts.items():
            started = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(ms[2:]) for name, ms in times.items()}


def segmenting(segmenter: Segmenter, path: Path, target: Path) -> Parts:
    """The parts of a segmented picture."""
    pixels = load_image(path)
    fitted, covered, size = segmenter._fit(pixels)
    padded = pad_to_multiple(fitted, COARSEST)[None]
    x = as_tensor(padded, segmenter.device)
    logits = segmenter.logits(fitted[None])[0]
    mask = np.ascontiguousarray(index_mask(logits, covered, segmenter.upsample)[: size[0], : size[1]])
    result = segmenter._result(logits, mask, covered)
    return {
        "decode": lambda: load_image(path), "resize": lambda: segmenter._fit(pixels),
        "tensor": lambda: as_tensor(pad_to_multiple(fitted, COARSEST)[None], segmenter.device),
        "network": lambda: segmenter.engine(x),
        "arg-max": lambda: index_mask(logits, covered, segmenter.upsample),
        "how sure": lambda: segmenter._result(logits, mask, covered), "draw": lambda: result.draw(pixels),
        "write the drawing": lambda: result.save(target, pixels),
    }  # fmt: skip


def posing(estimator: PoseEstimator, path: Path, target: Path) -> Parts:
    """The parts of one person's joints."""
    pixels = load_image(path)
    boxes = np.array([[0.0, 0.0, pixels.shape[1], pixels.shape[0], 1.0]])
    crops = [one for one, _, _ in estimator._crops(pixels, boxes)]
    x = as_tensor(np.stack(crops), estimator.device)
    heatmaps = estimator._heatmaps(x)
    result = estimator(pixels, boxes)
    return {
        "decode": lambda: load_image(path), "resize": lambda: list(estimator._crops(pixels, boxes)),
        "tensor": lambda: as_tensor(np.stack(crops), estimator.device), "network": lambda: estimator.engine(x),
        "joints": lambda: estimator.codec.decode_sure(heatmaps, None, estimator.labels.flip_order()),
        "draw": lambda: result.draw(pixels), "write the drawing": lambda: result.save(target, pixels),
    }  # fmt: skip


def rows(name: str, parts: dict[str, float], at_most: float) -> list[Measurement]:
    """A part's milliseconds each, and the share of all but the network; writing is not in it."""
    whole = sum(ms for part, ms in parts.items() if part != "write the drawing")
    shown = [Measurement(f"pipeline: {name}, {part}", ms, "ms") for part, ms in parts.items()]
    share = 1 - parts["network"] / whole
    return [*shown, Measurement(f"pipeline: {name}, beside the network", share, "share", at_most=at_most)]


def measure(argv: list[str]) -> list[Measurement]:
    """Both networks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--dtype")
    parser.add_argument("--upsample", default="logits", help="of the segmenter: logits or labels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    engine = {"engine": args.engine, "dtype": args.dtype}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "drawn.png"
        segmenter = Segmenter("scalenet_s0", "cpu", upsample=args.upsample, **engine)
        street = in_turn(segmenting(segmenter, sample_photograph(), target), args.rounds)
        estimator = PoseEstimator("scalenet_p0", "cpu", detector=None, flip=False, **engine)
        person = in_turn(posing(estimator, sample_portrait(), target), args.rounds)
    return [
        *rows(f"scalenet_s0 in {segmenter.engine}", street, 0.15),
        *rows(f"scalenet_p0 in {estimator.engine}", person, 0.25),
    ]


if __name__ == "__main__":
    show(measure)
