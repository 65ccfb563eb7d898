"""The results of predictors. N people, K joints, C classes; coordinates are pixels of the original image.

A call of a predictor (not its ``stream``) attaches the image as it was given to each result, so that results can draw
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
        image: the source image, as it was given; None if not attached.
        sure: (h, w) float32 maximum probabilities at stride 4 of the padded size ``covered``, the basis of
            :attr:`confidence`; None if unknown.
        note: a warning if the image is unlike the network's training images, else "".
        logits: (C, h, w) float32 logits at stride 4, divided by the temperature, the basis of :attr:`probabilities`;
            None if not kept.
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
        """(H, W) float32 probability of each pixel's class, 0..1, with temperature scaling if one was fitted.

        Raises:
            ValueError: if the result does not come from a predictor.
        """
        if self.sure is None or self.covered is None:
            raise ValueError("this result has no confidence: only a Segmenter's results have one")
        full = cv2.resize(self.sure, self.covered[::-1], interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(full[: self.mask.shape[0], : self.mask.shape[1]])

    @property
    def probabilities(self) -> np.ndarray:
        """(C, H, W) float32 class probabilities, with temperature scaling if one was fitted; computed at each access.
        Their argmax is the mask, except in pixels marked unknown and with ``upsample="labels"``.

        Raises:
            ValueError: if the predictor was made without ``probabilities=True``, or they would exceed 2 GiB.
        """
        if self.logits is None or self.covered is None:
            raise ValueError("this result has no probabilities: use Segmenter(..., probabilities=True)")
        return probabilities_of(self.logits, self.covered, self.mask.shape)

    @property
    def mean_confidence(self) -> float | None:
        """Mean confidence of the image, 0..1; None if unknown."""
        return None if self.sure is None else float(self.sure.mean())

    @property
    def unknown(self) -> float:
        """Share of pixels marked unknown (255 in the mask), whose confidence is below ``min_confidence``."""
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
        """(C,) share of the image's pixels per class; together with :attr:`unknown` they sum to 1."""
        return np.bincount(self.mask.ravel(), minlength=len(self.classes))[: len(self.classes)] / self.mask.size

    def found(self, at_least: float = 0.0) -> dict[str, float]:
        """Shares of the classes that occur, by name, largest first, without those below the given share."""
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
            image: the source image, in any form that a :class:`~scalenet.Segmenter` takes; default the attached one.
            legend: add a legend below the image (the result is then taller than H, and wider if the names need it).
            strength: opacity of the colours, 0..1.
            at_least: minimum share of the image for a class to be coloured and listed.
            alpha: alias of ``strength``.

        Raises:
            ValueError: if the image's size differs from the mask's, or no image is attached or given.
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
        """JSON-serialisable values: data set, size [H, W], class names and shares, the share of unknown pixels if there
        are any, mean confidence and note if known. The mask is not included.
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
        """Write the mask as a palette PNG with the classes' colours; returns its path. Pillow reads the indices, OpenCV
        the colours.
        """
        return exports.save_palette(path, self.mask, self.labels.colours)

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """The classes in COCO's stuff results format: one region per class, uncompressed run-length encoding;
        ``category_id`` is the class index.
        """
        return exports.stuff_results(self.mask, image_id)

    def to_supervision(self) -> supervision.Detections:
        """A ``supervision.Detections`` with an (H, W) mask and a box for each class that occurs.

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

    Iteration yields a :class:`Person` each; ``result[0]`` is one, while ``result[:2]`` and
    ``result[result.scores > 0.5]`` are results with those people.

    Args:
        keypoints: (N, K, 3) float32 x, y, score; integer coordinates are pixel centres.
        scores: (N,) float32, one per person.
        boxes: (N, 4) float32 x1, y1, x2, y2 of the people, given or detected; None if no boxes were used.
        labels: names, skeleton and colours of the joints.
        ids: (N,) integer track ids of a :class:`~scalenet.video.tracking.Tracker`, -1 without a track; None without
            tracking.
        image: the source image, as it was given; None if not attached.
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
        """RGB (H, W, 3) uint8 copy of ``image`` (in any form the estimator takes; default the attached one) with
        skeletons and, if tracked, ids drawn.

        Args:
            threshold: minimum score of the joints that are drawn; limbs need both their joints.
            strength: opacity of the skeletons, 0..1.
            alpha: alias of ``strength``.
            colour_by: "person" (one colour per person, by id if tracked) or "joint"; default "person" if tracked, else
                "joint".

        Raises:
            ValueError: if no image is attached or given, or for another ``colour_by``.
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
        """JSON-serialisable values: joint names, and per person keypoints [[x, y, score], …], score and box.

        With tracking also the ids, null for people without a track.
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
        """The people in COCO's keypoint results format, each with a flat keypoint list and a score."""
        rows = np.round(self.keypoints.astype(float), 4).reshape(len(self), 3 * self.keypoints.shape[1])
        return [
            {"image_id": image_id, "category_id": category_id, "keypoints": row, "score": round(float(score), 6)}
            for row, score in zip(rows.tolist(), self.scores, strict=True)
        ]
