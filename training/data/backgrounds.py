"""Backgrounds without people, composed from photographs of things and places. (H, W) sizes.

Photographs of few pixels (Tiny-ImageNet's) are laid over each other like a collage; larger ones are cut.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from scalenet.data.images import SUFFIXES, decode_rgb
from scalenet.data.labels import CAMVID
from scalenet.data.segmentation import find_pairs, hidden, read_label

from . import DataError, Size
from .augment import jitter
from .classification import class_images, tar_images

PEOPLE = tuple(CAMVID.names.index(name) for name in ("pedestrian", "bicyclist"))
MOST_PEOPLE = 0.04  # share of a street's pixels; with more of them it is no background
TRIES = 12  # to cut a street where there is nobody
NEAR_PEOPLE = 9  # pixels around them that are not known to be nobody either
SMALL = 128  # pixels of the short side, below which an image cannot fill a canvas
PLACES = 0.4  # share of backgrounds that are places, where there are such
WORN_OR_USED = (
    "gown", "apron", "barbershop", "bikini", "bow tie", "cardigan", "dumbbell", "fur coat", "gasmask", "go-kart",
    "jinrikisha", "kimono", "maypole", "military uniform", "miniskirt", "neck brace", "oboe", "poncho", "punching bag",
    "rugby ball", "snorkel", "sombrero", "sunglasses", "swimming trunks", "vestment", "volleyball", "basketball",
    "academic", "unicycle", "horizontal bar", "balance beam", "ice lolly", "potter's wheel", "sock", "sandal",
    "drumstick", "binoculars", "lawn mower", "syringe", "stocking", "broom", "umbrella", "backpack", "bannister",
    "butcher shop", "gondola", "turnstile", "scoreboard", "torch", "bathtub",
)  # fmt: skip
Patch = tuple[np.ndarray, np.ndarray, tuple[int, int]]


class Backgrounds:
    """Images of things and places that show nobody, kept encoded in memory.

    Args:
        roots: folders with ``SPLIT.tar`` or ``SPLIT/CLASS/`` (things by class, whose ``classes.tsv`` tells what people
            wear or use: such classes are left out), with ``images/SPLIT`` and CamVid's ``labels/SPLIT`` (images with
            more than a few people are left out, the others' are masked), or of images.

    Raises:
        DataError: if one of them holds no images.
    """

    def __init__(self, roots: tuple[str, ...], split: str) -> None:
        self.things: list[bytes] = []
        self.places: list[tuple[bytes, np.ndarray | None]] = []
        for root in roots:
            self._read(Path(root), split)
        if not self.things and not self.places:
            raise DataError("crowds need backgrounds: name folders of images without people")

    def __len__(self) -> int:
        return len(self.things) + len(self.places)

    def _read(self, root: Path, split: str) -> None:
        before = len(self)
        if (root / "labels" / split).is_dir():
            for image, label in find_pairs(root, split):
                people = np.isin(read_label(label, len(CAMVID.names)), PEOPLE)
                if people.mean() <= MOST_PEOPLE:
                    mask = 1 - cv2.dilate(people.astype(np.uint8), np.ones((NEAR_PEOPLE, NEAR_PEOPLE), np.uint8))
                    self.places.append((image.read_bytes(), mask))
        elif (root / f"{split}.tar").is_file() or any((root / split).glob("*/")):
            self.things += _things(root, split)
        else:
            files = sorted(p for p in root.glob("*") if p.suffix.lower() in SUFFIXES and not hidden(Path(p.name)))
            self.places += [(p.read_bytes(), None) for p in files]
        if len(self) == before:
            forms = f"{split}.tar, {split}/CLASS/, images/{split} with labels/{split}, or images"
            raise DataError(f"no backgrounds in {root}: looked for {forms}")

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """An image (H, W, 3) uint8 and its mask (H, W) uint8, 0 where somebody may be."""
        mask = np.ones(size, np.uint8)
        if self.places and (not self.things or rng.random() < PLACES):
            image, mask = self._place(rng, size)
        else:
            image = self._collage(rng, size)
        for _ in range(rng.integers(0, 4)):
            paste(image, *self.patch(rng, size))
        return image, mask

    def _place(self, rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """A part of a larger image."""
        data, known = self.places[rng.integers(len(self.places))]
        image = decode_rgb(data)
        h, w = image.shape[:2]
        for _ in range(TRIES):
            scale = max(size[0] / h, size[1] / w) * rng.uniform(1, 2.5)
            height, width = size[0] / scale, size[1] / scale
            top, left = rng.uniform(0, h - height), rng.uniform(0, w - width)
            shown = np.s_[int(top) : int(top + height) + 2, int(left) : int(left + width) + 2]
            if known is None or known[shown].all():
                break
        matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        if rng.random() < 0.5:
            matrix[0] = -matrix[0] + [0, 0, size[1] - 1]
        border = cv2.BORDER_REPLICATE
        image = cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border)
        if known is None:
            return image, np.ones(size, np.uint8)
        return image, cv2.warpAffine(known, matrix, size[::-1], flags=cv2.INTER_NEAREST, borderMode=border)

    def _collage(self, rng: np.random.Generator, size: Size) -> np.ndarray:
        """One or two things out of focus, and some over them less enlarged."""
        image = cv2.resize(self._thing(rng), size[::-1], interpolation=cv2.INTER_CUBIC)
        if rng.random() < 0.5:
            other = cv2.resize(self._thing(rng), size[::-1], interpolation=cv2.INTER_CUBIC)
            image = cv2.addWeighted(image, 0.6, other, 0.4, 0)
        for _ in range(rng.integers(0, 8)):
            paste(image, *self.patch(rng, size))
        return image

    def _thing(self, rng: np.random.Generator) -> np.ndarray:
        images = self.things or self.places
        chosen = images[rng.integers(len(images))]
        if isinstance(chosen, bytes):
            return decode_rgb(chosen)
        image, known = decode_rgb(chosen[0]), chosen[1]
        side = min(min(image.shape[:2]), SMALL)
        top, left = (int(rng.integers(s - side + 1)) for s in image.shape[:2])
        part = np.s_[top : top + side, left : left + side]
        if known is not None and not known[part].all():
            return cv2.GaussianBlur(image[part], (0, 0), side / 8)  # nobody can be made out
        return image[part]

    def patch(self, rng: np.random.Generator, size: Size, most: float = 0.5) -> Patch:
        """Something to lay over a canvas of ``size``: colours (h, w, 3) uint8, coverage (h, w) 0..1, corner (y, x).

        Args:
            most: of its side, in short sides of the canvas.
        """
        image = jitter(self._thing(rng), rng, 0.2)
        side = min(size) * rng.uniform(0.1, most)
        h, w = (max(4, round(side * f)) for f in np.exp(rng.uniform(-0.5, 0.5, 2)))
        alpha = np.zeros((h, w), np.uint8)
        shape, inset = rng.random(), max(1, round(0.06 * min(h, w)))
        if shape < 0.4:
            alpha[inset:-inset, inset:-inset] = 255
        elif shape < 0.7:
            cv2.ellipse(alpha, (w // 2, h // 2), (w // 2 - inset, h // 2 - inset), 0, 0, 360, 255, -1)
        else:  # a blob with limbs, as somebody's outline has
            points = (rng.uniform(0.12, 0.88, (6, 2)) * [w, h]).astype(np.int32)
            cv2.polylines(alpha, [points], False, 255, max(2, round(0.25 * min(h, w))))
        alpha = cv2.GaussianBlur(alpha, (0, 0), max(0.7, rng.uniform(0.2, 0.8) * inset))
        y, x = (int(rng.integers(-extent // 2, s - extent // 2)) for extent, s in zip((h, w), size, strict=True))
        pixels = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        return np.asarray(pixels), alpha.astype(np.float32) / 255, (y, x)


def _things(root: Path, split: str) -> list[bytes]:
    """Encoded images of an ImageFolder, without those of classes that people wear or use."""
    words = {}
    if (root / "classes.tsv").is_file():
        lines = (root / "classes.tsv").read_text(encoding="utf-8").splitlines()
        words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    left_out = {name for name, text in words.items() if any(word in text for word in WORN_OR_USED)}
    tar = root / f"{split}.tar"
    if tar.is_file():
        items = tar_images(tar)
    else:
        items = ((p, p.read_bytes()) for p in class_images(root / split))
    return [data for path, data in items if path.parent.name not in left_out]


def paste(canvas: np.ndarray, image: np.ndarray, alpha: np.ndarray, corner: tuple[int, int]) -> tuple[slice, slice]:
    """Lay ``image`` (h, w, 3) with coverage ``alpha`` (h, w) 0..1 over a canvas, its corner at (y, x); in place.

    Returns the canvas's part that it covers.
    """
    low = np.maximum(corner, 0)
    high = np.maximum(np.minimum(np.add(corner, alpha.shape), canvas.shape[:2]), low)
    part = np.s_[low[0] : high[0], low[1] : high[1]]
    if (high > low).all():
        own = np.s_[low[0] - corner[0] : high[0] - corner[0], low[1] - corner[1] : high[1] - corner[1]]
        share = np.ascontiguousarray(alpha[own])
        over, under = np.ascontiguousarray(image[own]), np.ascontiguousarray(canvas[part])
        canvas[part] = cv2.blendLinear(over, under, share, 1 - share)
    return part
