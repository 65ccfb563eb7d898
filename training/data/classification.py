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


class ImageFiles:
    """Encoded images by class, read when they are asked for.

    ``split.tar`` or ``split/`` hold class/image, or ``split/`` holds a tar file for each class, as ImageNet comes.

    Where they lie is kept in arrays: of ImageNet's million some 100 MB, which forked workers share.

    Raises:
        DataError: if there are none, or a tar file is damaged or compressed.
    """

    def __init__(self, root: str, split: str) -> None:
        folder = Path(root) / split
        tar = folder.with_suffix(".tar")
        self.files = [tar] if tar.is_file() else sorted(folder.glob("*.tar"))
        rows = [row for n, file in enumerate(self.files) for row in _members(n, file, file == tar)]
        if not self.files:
            self.files = [folder]
            rows = [(p.parent.name, 0, f"{p.parent.name}/{p.name}", -1, 0) for p in class_images(folder)]
        if not rows:
            raise DataError(f"no images in {folder}/<class>/ nor in {tar} nor in {folder}/<class>.tar")
        classes, numbers, names, offsets, sizes = zip(*rows, strict=True)
        found, self.labels = np.unique(np.array(classes), return_inverse=True)
        self.names = tuple(map(str, found))
        self.paths = np.array([name.encode() for name in names])
        self.places = np.array([numbers, offsets, sizes], np.int64).T

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> tuple[bytes, str]:
        """Content and name of an image's file."""
        number, offset, size = self.places[index].tolist()
        name = Path(self.paths[index].decode())
        if offset < 0:
            return (self.files[0] / name).read_bytes(), str(self.files[0] / name)
        with self.files[number].open("rb") as file:
            file.seek(offset)
            return file.read(size), f"{self.files[number]}/{name}"


def _members(number: int, path: Path, by_folder: bool) -> Iterator[tuple[str, int, str, int, int]]:
    """Class, file, name, offset and size of the images in a tar file, whose folders or whose own name is the class."""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = Path(member.name)
                if member.isfile() and name.suffix.lower() in SUFFIXES and not hidden(name):
                    kind = name.parent.name if by_folder else path.stem
                    yield kind, number, member.name, member.offset_data, member.size
                tar.members = []  # type: ignore[attr-defined]  # of a million images, tarfile's own list would take a gigabyte
    except (tarfile.TarError, EOFError, OSError) as e:
        raise DataError(f"{path} is damaged or no tar file, or a compressed one ({str(e)[:80]})") from None


def class_images(folder: Path) -> list[Path]:
    """Images of an ImageFolder, ``folder/CLASS/``, without hidden files."""
    return sorted(p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES and not hidden(p.relative_to(folder)))


class ClassificationSource:
    """Images of a split with their classes, decoded when asked for; see :class:`ImageFiles` for the forms.

    Raises:
        DataError: if there are no images, or a tar file is damaged.
    """

    def __init__(self, root: str, split: str, scale: tuple[float, float] = (0.4, 1.0)) -> None:
        self.files = ImageFiles(root, split)
        self.labels, self.classes, self.scale = self.files.labels, len(self.files.names), scale

    def __len__(self) -> int:
        return len(self.files)

    def _decoded(self, index: int) -> np.ndarray:
        return decode_rgb(*self.files.read(index))

    def load(self, index: int, size: Size) -> np.ndarray:
        """The image resized to (H, W) ``size``, as it is."""
        return cv2.resize(self._decoded(index), size[::-1], interpolation=cv2.INTER_LINEAR)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """A random part of the image, flipped and recoloured, with its class index ()."""
        image = self._decoded(index)
        h, w = image.shape[:2]
        area, ratio = rng.uniform(*self.scale), np.exp(rng.uniform(-0.29, 0.29))
        ch, cw = min(h, h * np.sqrt(area / ratio)), min(w, w * np.sqrt(area * ratio))
        corner = (rng.uniform(0, w - cw), rng.uniform(0, h - ch))
        image = warp(image, window((cw / size[1], ch / size[0]), corner), size, fill=MEAN_COLOUR)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return jitter(np.ascontiguousarray(image), rng), self.labels[index]
