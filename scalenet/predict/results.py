"""Results of predictors. N people, K joints, C classes; coordinates are pixels of the original image."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..data.images import ImageLike, load_image, save_image
from ..data.io import write_text
from ..labels import Labels
from .visualization import DRAWN_THRESHOLD, draw_skeletons, overlay, with_legend

OVERLAY_STRENGTH = 0.6  # share of the classes' colours


def percent(share: float) -> str:
    """A share of 0..1 as a percentage, for display."""
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"


class Result(ABC):
    """What every predictor gives for an image; coordinates and masks are in the original image's pixels."""

    labels: Labels

    @abstractmethod
    def draw(self, image: ImageLike) -> np.ndarray:
        """RGB uint8 copy of the image with what was found drawn on it."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""

    def save(self, path: str | Path, image: ImageLike | None = None) -> Path:
        """Write the result to a file, whole or not at all; returns its path.

        Args:
            path: ``.json`` for the values of :meth:`to_dict`, else an image's name.
            image: the image the result was made from, which is drawn on.

        Raises:
            ValueError: for an image's name without an image.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            return write_text(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")
        save_image(path, self._plain(path) if image is None else self.draw(image))
        return path

    def _plain(self, path: Path) -> np.ndarray:
        """What is written as an image where there is none to draw on."""
        raise ValueError(f"{path}: give the image to draw on too, or a .json file's name")


@dataclass(frozen=True, eq=False)
class SegmentationResult(Result):
    """The segmentation of one image of (H, W) pixels into C classes.

    Args:
        mask: (H, W) uint8 class indices.
        labels: names and colours of the C classes.
    """

    mask: np.ndarray
    labels: Labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all C classes, by index."""
        return self.labels.names

    @cached_property
    def shares(self) -> np.ndarray:
        """(C,) share of the image's pixels that each class has; they add up to 1."""
        return np.bincount(self.mask.ravel(), minlength=len(self.classes)) / self.mask.size

    def found(self, at_least: float = 0.0) -> dict[str, float]:
        """Share by name of the classes that occur, the largest first; those of a smaller share are left out."""
        order = np.argsort(-self.shares, kind="stable")
        return {
            self.classes[i]: float(self.shares[i]) for i in order if self.shares[i] > 0 and self.shares[i] >= at_least
        }

    def draw(
        self, image: ImageLike, legend: bool = True, strength: float = OVERLAY_STRENGTH, at_least: float = 0.0
    ) -> np.ndarray:
        """RGB uint8 copy of the image with the classes in colour.

        Args:
            image: the image the result was made from, in any form a :class:`~scalenet.Segmenter` takes.
            legend: add rows of names under it (then the result is higher than H, and wider where names need it).
            strength: share of the colour, 0..1.
            at_least: classes with a smaller share of the image stay uncoloured and out of the legend.

        Raises:
            ValueError: if the image has another size than the mask.
        """
        bare = np.flatnonzero((self.shares > 0) & (self.shares < at_least)).tolist()
        canvas = overlay(load_image(image), self.mask, self.labels.colours, strength, bare)
        if not legend:
            return canvas
        colours = dict(zip(self.classes, self.labels.colours, strict=True))
        return with_legend(
            canvas, [(f"{name} {percent(share)}", colours[name]) for name, share in self.found(at_least).items()]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: data set, size [H, W], all class names and their shares. The mask stays out."""
        return {
            "dataset": self.labels.dataset,
            "size": list(self.mask.shape),
            "classes": list(self.classes),
            "shares": [round(float(s), 6) for s in self.shares],
        }

    def _plain(self, path: Path) -> np.ndarray:
        """The index mask, which lossy files would change."""
        if path.suffix.lower() != ".png":
            raise ValueError(f"{path}: a mask is kept in a .png file; to draw, give the image too")
        return self.mask


@dataclass(frozen=True, eq=False)
class PoseResult(Result):
    """The people in one image; arrays of length 0 if nobody is found.

    Args:
        keypoints: (N, K, 3) float32 x, y, score; a whole number is the centre of a pixel.
        scores: (N,) float32 per person.
        boxes: (N, 4) float32 x1, y1, x2, y2 that were looked into, given or a detector's; None where no boxes are used
            or the whole image was looked into.
        labels: names, skeleton and colours of the joints.
        ids: (N,) whole numbers that a :class:`~scalenet.video.tracking.Tracker` gave, -1 for who cannot be followed;
            None if nobody is followed.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None
    labels: Labels
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def draw(self, image: ImageLike, threshold: float = DRAWN_THRESHOLD, strength: float = 1.0) -> np.ndarray:
        """RGB (H, W, 3) uint8 copy of ``image`` (whatever the estimator takes) with skeletons, and ids if there are.

        Args:
            threshold: joints with a lower score are left out.
            strength: opacity of the skeletons, 0..1.
        """
        pixels = load_image(image)
        drawn = draw_skeletons(pixels, self.keypoints, self.labels, threshold, self.ids)
        return drawn if strength >= 1 else cv2.addWeighted(drawn, strength, pixels, 1 - strength, 0)

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
