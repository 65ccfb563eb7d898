"""Images and clips to try the app with, from photographs that ship in packages which are installed here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..commands.pose import sample_portrait
from ..commands.segment import sample_photograph
from ..data.images import load_image
from ..tasks import task_spec
from ..video.writer import VideoWriter

FRAMES, RATE = 24, 12
SIZE = 240, 320  # (H, W) of a clip


def example_images(task: str) -> list[str]:
    """Photographs for a task: people for poses, a view too for segmentation."""
    found = []
    for sample in (sample_portrait,) if task_spec(task).people else (sample_photograph, sample_portrait):
        try:
            found.append(str(sample()))
        except ValueError:
            continue
    return found


def write_clips(folder: str | Path) -> list[str]:
    """Two seconds of a camera that moves over each photograph, as mp4 files in ``folder``; returns their paths."""
    paths = []
    for photograph in example_images("segmentation"):
        path = Path(folder) / f"{Path(photograph).stem}.mp4"
        writer = VideoWriter(path, SIZE, Fraction(RATE), Fraction(1, RATE))
        for number, frame in enumerate(_moving(load_image(photograph))):
            writer.write(frame, number, 1)
        writer.close()
        paths.append(str(path))
    return paths


def _moving(image: np.ndarray) -> list[np.ndarray]:
    """Views of an image, from one corner to the opposite one."""
    scale = max(1.25 * SIZE[0] / image.shape[0], 1.25 * SIZE[1] / image.shape[1])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    room = np.array(image.shape[:2]) - SIZE
    starts = [np.round(room * i / (FRAMES - 1)).astype(int) for i in range(FRAMES)]
    return [np.ascontiguousarray(image[y : y + SIZE[0], x : x + SIZE[1]]) for y, x in starts]
