"""Drawing of video frames and summaries over frames, by the kind of result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np

from ..data.labels import Colour
from ..predict.results import OVERLAY_STRENGTH, PoseResult, SegmentationResult
from ..predict.visualization import DRAWN_THRESHOLD, corner_legend, overlay

SHOWN = 0.01  # share of a frame from which a class is named in the legend

Draw = Callable[[Any, np.ndarray], np.ndarray]  # a result and its RGB frame to the RGB frame that is written


@dataclass
class _Style:
    """How one video is drawn, and which classes its legend names so far."""

    strength: float | None
    legend: bool
    threshold: float
    rows: dict[str, Colour] = field(default_factory=dict)


def drawer(strength: float | None = None, legend: bool = True, threshold: float = DRAWN_THRESHOLD) -> Draw:
    """A ``draw`` for :func:`~scalenet.video.process.process_video` that keeps the frames' size; make one per video.

    Results of other types than this package's draw themselves.

    Args:
        strength: opacity, 0..1; default 0.6 for classes and 1 for skeletons.
        legend: list the classes in a corner, each from when it first covers 1 % of a frame.
        threshold: minimum score of the joints that are drawn.
    """
    style = _Style(strength, legend, threshold)
    return lambda result, image: _draw(result, image, style)


@singledispatch
def _draw(result: Any, image: np.ndarray, style: _Style) -> np.ndarray:
    return result.draw(image)


@_draw.register
def _(result: SegmentationResult, image: np.ndarray, style: _Style) -> np.ndarray:
    colours = result.labels.colours
    canvas = overlay(image, result.mask, colours, OVERLAY_STRENGTH if style.strength is None else style.strength)
    new = {result.classes[i]: colours[i] for i in np.flatnonzero(result.shares >= SHOWN)}
    style.rows.update((name, colour) for name, colour in new.items() if name not in style.rows)
    return corner_legend(canvas, list(style.rows.items())) if style.legend else canvas


@_draw.register
def _(result: PoseResult, image: np.ndarray, style: _Style) -> np.ndarray:
    return result.draw(image, style.threshold, 1.0 if style.strength is None else style.strength)


class Tally:
    """What the results of all frames come to; nothing for results of kinds that are not known."""

    def add(self, result: Any) -> None:
        """Count one more frame's result."""

    def found(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {}


class _Shares(Tally):
    def __init__(self) -> None:
        self.total: np.ndarray | float = 0.0
        self.frames = 0
        self.classes: tuple[str, ...] = ()

    def add(self, result: SegmentationResult) -> None:
        self.total, self.frames, self.classes = self.total + result.shares, self.frames + 1, result.classes

    def found(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "shares": np.round(self.total / self.frames, 6).tolist()}


class _People(Tally):
    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.most, self.followed = 0, False

    def add(self, result: PoseResult) -> None:
        self.most, self.followed = max(self.most, len(result)), result.ids is not None
        self.ids.update(() if result.ids is None else (int(i) for i in result.ids if i >= 0))

    def found(self) -> dict[str, Any]:
        return {"people": len(self.ids) if self.followed else None, "most_people": self.most}


@singledispatch
def tally(result: Any) -> Tally:
    """An empty tally for results like this one."""
    return Tally()


@tally.register
def _(result: SegmentationResult) -> Tally:
    return _Shares()


@tally.register
def _(result: PoseResult) -> Tally:
    return _People()
