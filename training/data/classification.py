"""Classification images: an ImageFolder (class/image) in a folder or still inside a tar file."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import cv2
import numpy as np

from scalenet.data.images import SUFFIXES, decode_rgb
from scalenet.data.segmentation import hidden

from . import DataError, Size
from .augment import jitter, warp, window

MEAN_COLOUR = (124, 116, 104)


def tar_images(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Name and content of every image in a tar file.

    Raises:
        DataError: if it is damaged or no tar file.
    """
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and member.name.lower().endswith(SUFFIXES) and not hidden(Path(member.name)):
                    yield Path(member.name), cast(IO[bytes], tar.extractfile(member)).read()
    except (tarfile.TarError, EOFError, OSError) as e:
        raise DataError(f"{path} is damaged or no tar file ({str(e)[:80]})") from None


def _read_tar(path: Path) -> list[tuple[str, bytes]]:
    return [(name.parent.name, data) for name, data in tar_images(path)]


def _read_folder(path: Path) -> list[tuple[str, bytes]]:
    files = sorted(p for p in path.glob("*/*") if p.suffix.lower() in SUFFIXES and not hidden(p.relative_to(path)))
    return [(p.parent.name, p.read_bytes()) for p in files]


class ClassificationSource:
    """Encoded images kept in memory (Tiny-ImageNet: 100 MB), decoded when asked for.

    Raises:
        DataError: if neither ``root/split`` nor ``root/split.tar`` holds images.
    """

    def __init__(self, root: str, split: str, scale: tuple[float, float] = (0.4, 1.0)) -> None:
        folder = Path(root) / split
        tar = folder.with_suffix(".tar")
        items = _read_tar(tar) if tar.is_file() else _read_folder(folder) if folder.is_dir() else []
        if not items:
            raise DataError(f"no images in {folder}/<class>/ nor in {tar}")
        names = sorted({name for name, _ in items})
        index = {name: i for i, name in enumerate(names)}
        self.labels = np.array([index[name] for name, _ in items])
        self.images = [data for _, data in items]
        self.classes, self.scale = len(names), scale

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int, size: Size) -> np.ndarray:
        """The image resized to (H, W) ``size``, as it is."""
        return cv2.resize(decode_rgb(self.images[index]), size[::-1], interpolation=cv2.INTER_LINEAR)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """A random part of the image, flipped and recoloured, with its class index ()."""
        image = decode_rgb(self.images[index])
        h, w = image.shape[:2]
        area, ratio = rng.uniform(*self.scale), np.exp(rng.uniform(-0.29, 0.29))
        ch, cw = min(h, h * np.sqrt(area / ratio)), min(w, w * np.sqrt(area * ratio))
        corner = (rng.uniform(0, w - cw), rng.uniform(0, h - ch))
        image = warp(image, window((cw / size[1], ch / size[0]), corner), size, fill=MEAN_COLOUR)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return jitter(np.ascontiguousarray(image), rng), self.labels[index]
