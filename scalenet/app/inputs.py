"""What visitors bring: uploaded files, boxes as text; and what to say when it is wrong."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.boxes import xywh_to_xyxy
from ..data.images import ImageError, decode_rgb
from ..data.transforms import BoxError

if TYPE_CHECKING:
    from gradio.components import Component

MAX_PIXELS = 50_000_000  # a phone's 48 pass; less than the package takes: visitors share the machine's memory
MAX_BOXES = 100
MENDABLE = (ValueError, LookupError, OSError, ImportError)


@contextmanager
def polite(upload: str | None = None, what: str = "the file") -> Iterator[None]:
    """Turn what a visitor can mend into one line on the page, without a stack trace in the log.

    Args:
        upload: a path of this machine, which the line calls ``what``.
    """
    import gradio as gr

    try:
        yield
    except MENDABLE as e:
        text = e.args[0] if isinstance(e, KeyError) and e.args else e
        line = " ".join(str(text).split()) or type(e).__name__
        line = line.replace(upload, what) if upload else line
        message = html.escape(line[:1].upper() + line[1:400])  # the page shows it as HTML
        raise gr.Error(message, print_exception=False) from None


def uploads_only(component: Component, what: str) -> Component:
    """Make an image or video component hand over the path of the uploaded file, unopened.

    Gradio's own would open an image before we can say politely what is wrong with it, and would fetch a link of any
    size, so both steps are replaced on this one object (a subclass would make gradio write a file beside its source).
    """
    import gradio as gr

    move = component.async_move_resource_to_block_cache

    async def move_files_alone(path: str | Path | None) -> str | None:
        if str(path).lower().startswith(("http:", "https:")):
            raise gr.Error(f"Give the {what} itself, not a link to it.", print_exception=False)
        return await move(path)

    def path_alone(payload: Any) -> str | None:
        path = getattr(payload, "path", None)
        if payload is not None and not path:
            raise gr.Error(f"Give the {what} as an uploaded file.", print_exception=False)
        return path

    component.async_move_resource_to_block_cache = move_files_alone  # type: ignore[method-assign, assignment]
    component.preprocess = path_alone  # type: ignore[method-assign]
    return component


def read_image(path: str | None) -> np.ndarray:
    """RGB (H, W, 3) uint8 of an uploaded file, upright; messages name no path of this machine.

    Raises:
        ImageError: if there is none, or it is no image, or one of more than 50 million pixels.
    """
    if not path:
        raise ImageError("There is no image yet: upload one, take one with the webcam, or choose an example.")
    return decode_rgb(Path(path).read_bytes(), "this file", MAX_PIXELS)


def parse_boxes(text: str | None) -> np.ndarray | None:
    """(N, 5) x1, y1, x2, y2, score of lines "x, y, w, h"; None if there are none.

    Raises:
        BoxError: naming the line that is no box, or if there are too many.
    """
    rows: list[list[float]] = []
    for number, line in enumerate((text or "").splitlines(), start=1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 4:
            raise BoxError(f"boxes, line {number}: four numbers x, y, w, h are needed, got {line.strip()[:40]!r}")
        rows.append(row)
    if len(rows) > MAX_BOXES:
        raise BoxError(f"{len(rows)} boxes are too many for this app: at most {MAX_BOXES}")
    return xywh_to_xyxy(rows, "boxes") if rows else None
