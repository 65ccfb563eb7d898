"""What predictors say about one image. N people, K joints, C classes; coordinates are its own pixels.

A predictor that is called (not its ``stream``) lets results know their image as it was given, so that they draw
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..data import IGNORE as UNKNOWN
from ..data.images import ImageLike
from ..data.labels import Labels
from . import exports
from .drawable import Result
from .person import Person
from .probabilities import probabilities_of
from .visualization import DRAWN_THRESHOLD, draw_skeletons, overlay, with_legend

if TYPE_CHECKING:
    import supervision

__all__ = ["Person", "PoseResult", "Result", "SegmentationResult"]

OVERLAY_STRENGTH = 0.6  # share of the classes' colours
SAID = 4  # classes or scores in a result's own description


def percent(share: float) -> str:
    """A share of 0..1 as a percentage, for display."""
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"


@dataclass(frozen=True, eq=False, repr=False)
class SegmentationResult(Result):
    """The segmentation of one image of (H, W) pixels into C classes.

    Args:
        mask: (H, W) uint8 class indices.
        labels: names and colours of the C classes.
        image: what the result was made from, as it was given; None: not known.
        sure: (h, w) float32 greatest probabilities at a quarter of the size ``covered``, which is the image's rounded
            up; :attr:`confidence` is made of them. None: not known.
        note: a line where the image is unlike those that the network learned from, else "".
        logits: (C, h, w) float32 logits that ``sure`` is of, divided by the temperature; :attr:`probabilities` are made
            of them. None: not kept.
    """

    mask: np.ndarray
    labels: Labels
    image: ImageLike | None = None
    sure: np.ndarray | None = None
    covered: tuple[int, int] | None = None
    note: str = ""
    logits: np.ndarray | None = None

    @cached_property
    def confidence(self) -> np.ndarray:
        """(H, W) float32 probability of each pixel's class, 0..1, by a temperature where one was fitted.

        Raises:
            ValueError: if the result was not made by a predictor.
        """
        if self.sure is None or self.covered is None:
            raise ValueError("this result does not know how sure it is: a Segmenter's does")
        full = cv2.resize(self.sure, self.covered[::-1], interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(full[: self.mask.shape[0], : self.mask.shape[1]])

    @property
    def probabilities(self) -> np.ndarray:
        """(C, H, W) float32 probability of each class in each pixel, by a temperature where one was fitted; made anew
        each time. The greatest is the mask's class, but for pixels marked unknown and ``upsample="labels"``.

        Raises:
            ValueError: if the result keeps none, or they would take more than 2 GiB.
        """
        if self.logits is None or self.covered is None:
            raise ValueError("this result keeps no probabilities: ask for them, Segmenter(..., probabilities=True)")
        return probabilities_of(self.logits, self.covered, self.mask.shape)

    @property
    def mean_confidence(self) -> float | None:
        """Of the whole image; None where it is not known."""
        return None if self.sure is None else float(self.sure.mean())

    @property
    def unknown(self) -> float:
        """Share of the pixels that are marked unknown, 255 in the mask: those below ``min_confidence``."""
        return max(0.0, float(1 - self.shares.sum()))

    def __repr__(self) -> str:
        height, width = self.mask.shape
        found = ", ".join(f"{name} {percent(share)}" for name, share in list(self.found().items())[:SAID])
        return f"<SegmentationResult {height}x{width}, {self.labels.dataset}: {found}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all C classes, by index."""
        return self.labels.names

    @cached_property
    def shares(self) -> np.ndarray:
        """(C,) share of the image's pixels that each class has; with those unknown they add up to 1."""
        return np.bincount(self.mask.ravel(), minlength=len(self.classes))[: len(self.classes)] / self.mask.size

    def found(self, at_least: float = 0.0) -> dict[str, float]:
        """Share by name of the classes that occur, the largest first; those of a smaller share are left out."""
        order = np.argsort(-self.shares, kind="stable")
        return {
            self.classes[i]: float(self.shares[i]) for i in order if self.shares[i] > 0 and self.shares[i] >= at_least
        }

    def draw(
        self,
        image: ImageLike | None = None,
        legend: bool = True,
        strength: float = OVERLAY_STRENGTH,
        at_least: float = 0.0,
        alpha: float | None = None,
    ) -> np.ndarray:
        """RGB uint8 copy of the image with the classes in colour.

        Args:
            image: the image the result was made from, in any form a :class:`~scalenet.Segmenter` takes; default the
                one the result knows.
            legend: add rows of names under it (then the result is higher than H, and wider where names need it).
            strength: share of the colour, 0..1.
            at_least: classes with a smaller share of the image stay uncoloured and out of the legend.
            alpha: ``strength`` by the name that other libraries have for it.

        Raises:
            ValueError: if the image has another size than the mask, or none is known.
        """
        bare = np.flatnonzero((self.shares > 0) & (self.shares < at_least)).tolist()
        bare += [UNKNOWN] if self.unknown else []
        strength = strength if alpha is None else alpha
        canvas = overlay(self._pixels(image), self.mask, self.labels.colours, strength, bare)
        if not legend:
            return canvas
        colours = dict(zip(self.classes, self.labels.colours, strict=True))
        return with_legend(
            canvas, [(f"{name} {percent(share)}", colours[name]) for name, share in self.found(at_least).items()]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: data set, size [H, W], all class names and their shares, the share of unknown pixels if
        there are any, mean confidence and note if they are known. The mask stays out.
        """
        mean = self.mean_confidence
        extra = {
            "unknown": round(self.unknown, 6) or None, "confidence": None if mean is None else round(mean, 4),
            "note": self.note or None,
        }  # fmt: skip
        return {
            "dataset": self.labels.dataset,
            "size": list(self.mask.shape),
            "classes": list(self.classes),
            "shares": [round(float(s), 6) for s in self.shares],
            **{key: value for key, value in extra.items() if value is not None},
        }

    def save_palette(self, path: str | Path) -> Path:
        """Write the mask as a PNG of one channel whose palette holds the classes' colours; returns its path. Pillow
        reads the indices (OpenCV the colours).
        """
        return exports.save_palette(path, self.mask, self.labels.colours)

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """The classes in COCO's form of results of stuff: a region each, run-length encoded as plain numbers;
        ``category_id`` is the class's index.
        """
        return exports.stuff_results(self.mask, image_id)

    def to_supervision(self) -> supervision.Detections:
        """A ``supervision.Detections``: a mask (H, W) and a box for each class that occurs.

        Raises:
            ImportError: if supervision is not installed.
        """
        return exports.detections(self.mask, self.classes)

    def _plain(self, path: Path) -> np.ndarray:
        """The index mask, which lossy files would change."""
        if path.suffix.lower() != ".png":
            raise ValueError(f"{path}: a mask is kept in a .png file; to draw, give the image too")
        return self.mask


@dataclass(frozen=True, eq=False, repr=False)
class PoseResult(Result):
    """The people in one image; arrays of length 0 if nobody is found.

    Iterating gives each :class:`Person`; ``result[0]`` is one, ``result[:2]`` and ``result[result.scores > 0.5]`` are
    results of those people alone.

    Args:
        keypoints: (N, K, 3) float32 x, y, score; a whole number is the centre of a pixel.
        scores: (N,) float32 per person.
        boxes: (N, 4) float32 x1, y1, x2, y2 that were looked into, given or a detector's; None where no boxes are used
            or the whole image was looked into.
        labels: names, skeleton and colours of the joints.
        ids: (N,) whole numbers that a :class:`~scalenet.video.tracking.Tracker` gave, -1 for who cannot be followed;
            None if nobody is followed.
        image: what the result was made from, as it was given; None: not known.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None
    labels: Labels
    ids: np.ndarray | None = None
    image: ImageLike | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def __bool__(self) -> bool:
        return True  # a result, also of nobody

    def __iter__(self) -> Iterator[Person]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, which: Any) -> Any:
        if not isinstance(which, (int, np.integer)):
            parts: dict[str, Any] = {name: getattr(self, name) for name in ("keypoints", "scores", "boxes", "ids")}
            parts = {name: None if v is None else v[which] for name, v in parts.items()}
            return replace(self, **parts)
        number = -1 if self.ids is None else int(self.ids[which])
        return Person(
            self.keypoints[which], float(self.scores[which]), None if self.boxes is None else self.boxes[which],
            number if number >= 0 else None, self.labels.names,
        )  # fmt: skip

    def __repr__(self) -> str:
        scores = " ".join(f"{s:.2f}" for s in self.scores[:SAID])
        who = "1 person" if len(self) == 1 else f"{len(self)} people"
        return f"<PoseResult {who}{f', scores {scores}' if scores else ''}; {self.keypoints.shape[1]} joints>"

    def draw(
        self,
        image: ImageLike | None = None,
        threshold: float = DRAWN_THRESHOLD,
        strength: float = 1.0,
        alpha: float | None = None,
        colour_by: str | None = None,
    ) -> np.ndarray:
        """RGB (H, W, 3) uint8 copy of ``image`` (whatever the estimator takes; default the one the result knows) with
        skeletons drawn, and ids if there are.

        Args:
            threshold: joints with a lower score are left out, and limbs that end in them.
            strength: opacity of the skeletons, 0..1.
            alpha: ``strength`` by the name that other libraries have for it.
            colour_by: "person" (a colour each, by id where there is one) or "joint"; default by person where people
                are followed, else by joint.

        Raises:
            ValueError: if no image is known, or for another ``colour_by``.
        """
        pixels, strength = self._pixels(image), strength if alpha is None else alpha
        drawn = draw_skeletons(pixels, self.keypoints, self.labels, threshold, self.ids, colour_by)
        return drawn if strength >= 1 else cv2.addWeighted(drawn, strength, pixels, 1 - strength, 0)

    def to_supervision(self) -> supervision.KeyPoints:
        """A ``supervision.KeyPoints`` of the people, with the scores of joints and people.

        Raises:
            ImportError: if supervision is not installed.
        """
        return exports.key_points(self.keypoints, self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: names, and per person keypoints [[x, y, score], …], score and box.

        If people are tracked their ids too, null for whoever could not be.
        """
        boxes = None if self.boxes is None else np.round(self.boxes.astype(float), 2).tolist()
        return {
            "dataset": self.labels.dataset,
            "names": list(self.labels.names),
            "keypoints": np.round(self.keypoints.astype(float), 4).tolist(),
            "scores": np.round(self.scores.astype(float), 4).tolist(),
            "boxes": boxes,
            **({} if self.ids is None else {"ids": [int(i) if i >= 0 else None for i in self.ids]}),
        }

    def to_coco(self, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
        """The people in COCO's result form, one flat keypoint list and a score each."""
        rows = np.round(self.keypoints.astype(float), 4).reshape(len(self), 3 * self.keypoints.shape[1])
        return [
            {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": round(float(score), 6)}
            for row, score in zip(rows.tolist(), self.scores, strict=True)
        ]
