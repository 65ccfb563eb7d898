"""Crowds, whole photographs and images of nobody, composed anew for every sample, with COCO's joints.

People are cut out along their skeleton or their box and laid over a background or a photograph of somebody, farther
ones first, and things over them. A joint that is covered is not labelled; somebody of whom too little is left is a
neighbour without labels, and masked. N people, K joints, (H, W) images.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scalenet.data.annotations import AREA_OF_BOX
from scalenet.data.images import save_image
from scalenet.data.keypoints import KeypointSet, write_json

from . import DataError, Size, atomic_folder
from .augment import jitter
from .backgrounds import Backgrounds
from .bottomup import Arrays, Scene, targets
from .canvas import Canvas, side_by_side
from .people import LABELS, read_people

HEIGHTS = (0.15, 0.95)  # of pasted people, longer side in short sides of the canvas
ON_PHOTOGRAPH = 0.5  # share of crowds around somebody in a photograph that are composed on it
THINGS = 3  # most that are laid between and over people
MOSAIC = (2, 4)  # fewest and most photographs side by side, and below each other
UNEVEN = 0.25  # of a mosaic's part, by which its edges are moved
VAL_SIZE = (512, 512)
VAL_PEOPLE = (1, 8)
VAL_TRIES = 50


class CrowdSource:
    """Samples around each of the people of single-person data sets, all with COCO's joints.

    Args:
        roots, split: as :meth:`scalenet.data.keypoints.KeypointSet.open` finds them.
        backgrounds: folders of :class:`~training.data.backgrounds.Backgrounds`.
        people: fewest and most in a crowd on 512x512; fewer, but up to 3, on smaller images.
        silence: share of samples with nobody in them.
        scenes: share of whole photographs among the others.
        colour: largest change of brightness, contrast and saturation.
        neighbours: file with the boxes of people without labels in the photographs; without it everything beside the
            labelled person is masked.
        mosaic: share of the whole photographs that are many side by side.

    Raises:
        DataError: if a split is missing or has other joints, nobody is left, or there are no backgrounds.
    """

    labels = LABELS

    def __init__(
        self, roots: tuple[str, ...], split: str, backgrounds: tuple[str, ...], people: tuple[int, int] = (1, 5),
        silence: float = 0.0, scenes: float = 0.0, colour: float = 0.3, neighbours: str = "",
        mosaic: float = 0.0,
    ) -> None:  # fmt: skip
        everybody = [person for root in roots for person in read_people(root, split, neighbours)]
        self.cast = [person for person in everybody if person.whole or person.can_be_cut_out()]
        self.whole = [i for i, person in enumerate(self.cast) if person.whole]
        self.cut = [i for i, person in enumerate(self.cast) if person.can_be_cut_out()]
        if not self.cut:
            raise DataError(f"nobody in {', '.join(roots)} has enough labelled joints to be put into a crowd")
        if scenes and not self.whole:
            raise DataError(f"scenes={scenes} needs whole photographs with COCO's joints: {', '.join(roots)} has none")
        self.backgrounds = Backgrounds(backgrounds, split)
        self.people, self.silence, self.scenes, self.colour = people, silence, scenes, colour
        self.mosaics = mosaic

    def __len__(self) -> int:
        return len(self.cast)

    def sample(self, index: int, rng: np.random.Generator, size: Size) -> Arrays:
        """An image (H, W, 3) uint8 around person ``index`` or without anybody, and its targets.

        These are :func:`~training.data.bottomup.targets`'s.
        """
        scene = self.draw(index, rng, size)
        image = jitter(scene.image, rng, self.colour) if self.colour else scene.image
        return image, *targets(dataclasses.replace(scene, image=image), self.labels)

    def load(self, index: int, size: Size) -> np.ndarray:
        """The image (H, W, 3) of one fixed sample of person ``index``."""
        return self.draw(index, np.random.default_rng(index), size).image

    def draw(self, index: int, rng: np.random.Generator, size: Size) -> Scene:
        """A scene of one of the three kinds."""
        if rng.random() < self.silence:
            return self.nobody(rng, size)
        if rng.random() < self.scenes:
            if self.mosaics and rng.random() < self.mosaics:
                return self.mosaic(rng, size)
            whole = self.cast[index].whole
            return self.photograph(index if whole else self._photographed(rng), rng, size)
        most = max(3, round(self.people[1] * size[0] * size[1] / (VAL_SIZE[0] * VAL_SIZE[1])))
        count = int(rng.integers(min(self.people[0], most), most + 1))
        return self.crowd(index, rng, size, count)

    def nobody(self, rng: np.random.Generator, size: Size) -> Scene:
        """A background without anybody."""
        image, mask = self.backgrounds.draw(rng, size)
        return Scene(image, np.zeros((0, len(self.labels.names), 3)), mask)

    def photograph(self, index: int, rng: np.random.Generator, size: Size) -> Scene:
        """Somebody's whole photograph, turned, scaled and shifted, black around it."""
        canvas = Canvas(np.zeros((*size, 3), np.uint8), np.ones(size, np.uint8))
        canvas.unroll(self.cast[index], rng)
        return canvas.scene()[0]

    def mosaic(self, rng: np.random.Generator, size: Size) -> Scene:
        """Whole photographs of several people side by side, 2x2 to 4x4 of them."""
        count = int(rng.integers(MOSAIC[0], MOSAIC[1] + 1))
        rows, columns = (_edges(side, count, rng) for side in size)
        parts = []
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                part = (bottom - top, right - left)
                parts.append(((top, left), self.photograph(self._photographed(rng), rng, part)))
        return side_by_side(parts, size)

    def _photographed(self, rng: np.random.Generator) -> int:
        return self.whole[rng.integers(len(self.whole))]

    def crowd(self, index: int, rng: np.random.Generator, size: Size, count: int) -> Scene:
        """Up to ``count`` people with person ``index`` among them, on their own photograph or on a background."""
        person = self.cast[index]
        canvas = Canvas(*self.backgrounds.draw(rng, size))
        on_photograph = person.whole and (not person.can_be_cut_out() or rng.random() < ON_PHOTOGRAPH)
        if on_photograph:
            canvas.unroll(person, rng)
        self._gather(canvas, rng, [] if on_photograph else [index], count - 1)
        return canvas.scene()[0]

    def _gather(self, canvas: Canvas, rng: np.random.Generator, chosen: list[int], others: int) -> None:
        """Lay the ``chosen`` and up to ``others`` people more over a canvas, farther ones first, and things."""
        chosen = [*chosen, *(self.cut[i] for i in rng.integers(len(self.cut), size=others))]
        low, high = np.log(HEIGHTS)
        heights = np.exp(rng.uniform(low, high, len(chosen)))
        things = rng.integers(0, len(chosen) + 1, rng.integers(0, THINGS + 1)).tolist()
        for n, i in enumerate(np.argsort(heights, kind="stable"), 1):
            canvas.put(self.cast[chosen[i]], float(heights[i]), rng)
            for _ in range(things.count(n)):
                canvas.lay(*self.backgrounds.patch(rng, canvas.mask.shape, 0.35))

    def validation(self, number: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Crowd ``number`` of a fixed series: a 512x512 image and 1-8 people in COCO's form, on a background."""
        rng = np.random.default_rng((21, number))
        for _ in range(VAL_TRIES):
            canvas = Canvas(*self.backgrounds.draw(rng, VAL_SIZE))
            if canvas.mask.all():  # people without labels would count as errors
                break
        self._gather(canvas, rng, [], int(rng.integers(VAL_PEOPLE[0], VAL_PEOPLE[1] + 1)))
        scene, boxes = canvas.scene()
        people = [
            {
                "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": int((k[:, 2] > 0).sum()),
                "keypoints": np.round(k, 2).ravel().tolist(), "bbox": np.round(box, 2).tolist(),
                "area": round(float(AREA_OF_BOX * box[2] * box[3]), 2),
            }
            for k, box in zip(scene.keypoints, boxes, strict=True)
        ]  # fmt: skip
        return scene.image, people


def _edges(side: int, count: int, rng: np.random.Generator) -> list[int]:
    """From 0 to ``side``, about evenly cut into ``count`` parts."""
    inner = np.arange(1, count) + rng.uniform(-UNEVEN, UNEVEN, count - 1)
    return [0, *(inner * side / count).round().astype(int).tolist(), side]


def write_crowds(
    roots: tuple[str, ...], split: str, backgrounds: tuple[str, ...], out: str | Path, count: int
) -> KeypointSet:
    """The first ``count`` crowds of :meth:`CrowdSource.validation` as a data set in COCO's form, images included.

    Raises:
        DataError: if ``out`` exists already, or as :class:`CrowdSource`.
    """
    source = CrowdSource(roots, split, backgrounds)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with atomic_folder(out) as partial:
        folder = partial / "images" / split
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            image, people = source.validation(number)
            name = f"{number:06}.jpg"
            save_image(folder / name, image)
            height, width = image.shape[:2]
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            annotations += [{"id": len(annotations) + i, **person} for i, person in enumerate(people, 1)]
        skeleton = [[a + 1, b + 1] for a, b in LABELS.skeleton]
        category = {"id": 1, "name": "person", "keypoints": list(LABELS.names), "skeleton": skeleton}
        data = {"images": images, "annotations": annotations, "categories": [category]}
        write_json(partial / "annotations" / f"{split}.json", data)
    return KeypointSet.open(out, split)
