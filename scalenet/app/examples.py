"""Photographs and clips to try the app with, from those that ship in packages which are installed here."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..data.images import load_image
from ..data.labels import CAMVID, PERSON, Labels
from ..data.samples import sample_photograph, sample_portrait
from ..video.writer import VideoWriter
from .inputs import checked_component, number

if TYPE_CHECKING:
    from gradio.components import Component

FRAMES, RATE = 24, 12
SIZE = 240, 320  # (H, W) of a clip
THUMBNAIL = 96  # pixels of the height


@dataclass(frozen=True)
class Example:
    """A photograph and the network that does well on it; each was looked at.

    Args:
        photograph: gives its path.
        title: what one sees when it is chosen.
        alternative: what it shows, for those who do not see it.
        task: the task of the network.
        labels: of the network; None: any.
    """

    photograph: Callable[[], Path]
    title: str
    alternative: str
    task: str
    labels: Labels | None = None

    @property
    def path(self) -> Path | None:
        """Where the photograph is, if its package is installed."""
        try:
            return self.photograph()
        except ValueError:
            return None


PORTRAIT = "Portrait of an elderly woman in a navy uniform before a flag"
EXAMPLES = (  # the packages hold no street, no body from head to foot, no group
    Example(sample_portrait, "Portrait: outline", PORTRAIT, "segmentation", PERSON),
    Example(sample_portrait, "Portrait: joints", PORTRAIT, "pose"),
    Example(
        sample_photograph, "Pagoda: sky, trees, building", "A pagoda between trees at a lake", "segmentation", CAMVID
    ),
)


CHOOSE = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (!button) return;
  props.value = Number(button.dataset.example);
  trigger("select");
});"""


def build_examples(examples: Sequence[Example], label: str) -> Component | None:
    """Buttons whose component's value is the place of the one that was chosen; None if no photograph is there."""
    import gradio as gr

    if not any(example.path for example in examples):
        return None
    return checked_component(
        gr.HTML(html_template=examples_html(examples, label), js_on_load=CHOOSE, elem_classes="tries"),
        number("example", 0, len(examples) - 1),
    )


def keep_file(component: Component, path: str | Path) -> str:
    """A copy of a file where ``component`` may hand it out, which stays while the app runs; returns its path."""
    from gradio.processing_utils import save_file_to_cache

    copy = save_file_to_cache(path, component.GRADIO_CACHE)
    component.keep_in_cache.add(copy)
    return copy


def examples_html(examples: Sequence[Example], label: str) -> str:
    """A row of buttons with a small picture and what it is; ``data-example`` is the place in the row."""
    buttons = "".join(
        f'<button type="button" data-example="{place}"><img src="{_thumbnail(load_image(example.path))}" '
        f'alt="{html.escape(example.alternative)}"><span>{html.escape(example.title)}</span></button>'
        for place, example in enumerate(examples)
        if example.path
    )
    return f'<div class="examples" role="group" aria-label="{label}">{buttons}</div>'


def _thumbnail(image: np.ndarray) -> str:
    """A JPEG of an RGB image as an address that holds it."""
    size = round(image.shape[1] * THUMBNAIL / image.shape[0]), THUMBNAIL
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small[..., ::-1])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def write_panning_clip(photograph: str | Path, folder: str | Path) -> Path:
    """Two seconds of a camera that moves over a photograph, as an mp4 file in ``folder``; returns its path."""
    path = Path(folder) / f"{Path(photograph).stem}.mp4"
    writer = VideoWriter(path, SIZE, Fraction(RATE), Fraction(1, RATE))
    for time, frame in enumerate(_moving(load_image(photograph))):
        writer.write(frame, time, 1)
    writer.close()
    return path


def _moving(image: np.ndarray) -> list[np.ndarray]:
    """Views of an image, from one corner to the opposite one."""
    scale = max(1.25 * SIZE[0] / image.shape[0], 1.25 * SIZE[1] / image.shape[1])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    room = np.array(image.shape[:2]) - SIZE
    starts = [np.round(room * i / (FRAMES - 1)).astype(int) for i in range(FRAMES)]
    return [np.ascontiguousarray(image[y : y + SIZE[0], x : x + SIZE[1]]) for y, x in starts]
