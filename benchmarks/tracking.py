"""Do ids hold: a slow zoom on a still, and two people who cross, both made of photographs, with the shipped networks.

``python -m benchmarks.tracking [PHOTO=PEOPLE …] [--frames N] [--bottom-up]`` prints the ids that were given for each
person there is. Without photographs it takes the portrait that ships in matplotlib. Who crosses is cut out of the
photographs of one person by scalenet_s0.person: the first two, or one and its mirror image.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks import Measurement, show
from scalenet import BottomUpPoseEstimator, PoseEstimator, Segmenter
from scalenet.data.images import load_image
from scalenet.data.samples import sample_photograph, sample_portrait
from scalenet.video.tracking import tracker_for

FRAMES, MOST_ZOOM, AT_MOST = 24, 1.3, 1.2
SIZE, HEIGHT = (480, 640), 400  # of the scene in which people cross, and of these
Cut = tuple[np.ndarray, np.ndarray]  # RGB and opacity 0..1 of somebody


def zoom(image: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    """Ever closer views of the middle of an image."""
    height, width = image.shape[:2]
    for scale in np.geomspace(1, MOST_ZOOM, frames):
        matrix = np.array([[scale, 0, (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]])
        yield cv2.warpAffine(image, matrix, (width, height))


def cut_out(image: np.ndarray, segmenter: Segmenter) -> Cut:
    """The largest person of an image, ``HEIGHT`` high."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats((segmenter(image).mask == 1).astype(np.uint8))
    if count < 2:
        raise ValueError("scalenet_s0.person sees nobody to cut out")
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, w, h = stats[largest][:4]
    opacity = cv2.GaussianBlur((regions == largest).astype(np.float32), (0, 0), 1.5)
    size = max(1, round(w * HEIGHT / h)), HEIGHT
    return cv2.resize(image[y : y + h, x : x + w], size), cv2.resize(opacity[y : y + h, x : x + w], size)


def crossing(one: Cut, other: Cut, frames: int) -> Iterator[np.ndarray]:
    """Two people who walk past each other before a blurred view, the first in front."""
    view = cv2.GaussianBlur(cv2.resize(load_image(sample_photograph()), SIZE[::-1]), (0, 0), 12)
    for part in np.linspace(0, 1, frames):
        scene = view.astype(np.float32)
        for (pixels, opacity), at in ((other, 1 - part), (one, part)):
            x, top = round(at * (SIZE[1] - pixels.shape[1])), SIZE[0] - HEIGHT
            spot = scene[top:, x : x + pixels.shape[1]]
            spot += opacity[..., None] * (pixels - spot)
        yield scene.astype(np.uint8)


def identities(frames: Iterable[np.ndarray], bottom_up: bool) -> int:
    """How many ids ``scalenet pose`` gives in a clip."""
    estimator = BottomUpPoseEstimator("scalenet_p0_bottomup") if bottom_up else PoseEstimator("scalenet_p0")
    tracker = tracker_for(estimator)
    ids = [tracker.update(result).ids for result in estimator.stream(frames)]
    return len({int(i) for each in ids for i in each if i >= 0})


def measure(argv: list[str]) -> list[Measurement]:
    """Ids per person of a zoom on each photograph, and of two people who cross."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__)
    parser.add_argument("photographs", nargs="*", metavar="PHOTO=PEOPLE", help="and how many people are in it")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--bottom-up", action="store_true")
    args = parser.parse_args(argv)
    pairs = [text.rpartition("=") for text in args.photographs] or [(str(sample_portrait()), "=", "1")]
    found, alone, segmenter = [], [], Segmenter("scalenet_s0.person")
    for path, _, people in pairs:
        image = load_image(path)
        ids = identities(zoom(image, args.frames), args.bottom_up)
        found.append(Measurement(f"ids per person, zoom on {Path(path).name}", ids / int(people), "", AT_MOST))
        alone += [image] if int(people) == 1 else []
    if alone:
        one, other = (cut_out(image, segmenter) for image in [*alone, alone[0][:, ::-1].copy()][:2])
        ids = identities(crossing(one, other, args.frames), args.bottom_up)
        found.append(Measurement("ids per person, two who cross", ids / 2, "", AT_MOST))
    return found


if __name__ == "__main__":
    show(measure)
