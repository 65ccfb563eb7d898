"""What visitors bring: uploaded files, boxes as text; and what to say when it is wrong."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..data.boxes import xywh_to_xyxy
from ..data.images import ImageError, decode_rgb
from ..data.io import DiskFullError
from ..data.transforms import BoxError

if TYPE_CHECKING:
    from gradio.components import Component

Checked = TypeVar("Checked", bound="Component")

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
    except DiskFullError:
        raise gr.Error("This app has no room left: try again in a quarter of an hour.", print_exception=False) from None
    except MENDABLE as e:
        text = e.args[0] if isinstance(e, KeyError) and e.args else e
        line = " ".join(str(text).split()) or type(e).__name__
        line = line.replace(upload, what) if upload else line
        message = html.escape(line[:1].upper() + line[1:400])  # the page shows it as HTML
        raise gr.Error(message, print_exception=False) from None


def uploads_only(component: Checked, what: str) -> Checked:
    """Make an image or video component take an upload alone and hand over its path, unopened.

    Gradio's own would open an image before we can say politely what is wrong with it, would fetch a link of any size,
    and would hand over any path of this machine that comes without its mark of a file, so these steps are replaced on
    this one object (a subclass would make gradio write a file beside its source).
    """
    folder = Path(component.GRADIO_CACHE).resolve()

    def upload(payload: Any) -> Any:
        if payload is None:
            return None
        path = payload.get("path") if isinstance(payload, dict) else None
        if str(path or "").lower().startswith(("http:", "https:")):
            raise ValueError(f"Give the {what} itself, not a link to it.")
        if not isinstance(path, str) or not path:
            raise ValueError(f"Give the {what} as an uploaded file.")
        if not _is_file_in(folder, path):
            raise ValueError(f"This {what} was not uploaded by a user, or is gone: upload it.")
        return {**payload, "meta": {"_type": "gradio.FileData"}}  # for gradio to look whether it was uploaded

    component.preprocess = lambda payload: getattr(payload, "path", None)  # type: ignore[method-assign]
    return checked_component(component, upload)


def _is_file_in(folder: Path, path: str) -> bool:
    try:
        return Path(path).is_absolute() and Path(path).resolve().is_relative_to(folder) and Path(path).is_file()
    except (ValueError, OSError):  # no path at all
        return False


def checked_component(component: Checked, check: Callable[[Any], Any]) -> Checked:
    """Have what programs send for a component looked at first, see :func:`check_first`."""
    component.check_payload = check  # type: ignore[attr-defined]
    return component


def check_first(demo: Any) -> None:
    """Before gradio looks at what is sent, let every component's check do, whose errors are one line of our own."""
    preprocess = demo.preprocess_data

    @wraps(preprocess)
    async def checks(block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        with polite():
            if len(inputs) < len(block_fn.inputs):
                raise ValueError(f"{len(block_fn.inputs)} values are needed, got {len(inputs)}")
            inputs = [
                component.check_payload(value) if hasattr(component, "check_payload") else value
                for component, value in zip(block_fn.inputs, inputs, strict=False)
            ]
        return await preprocess(block_fn, inputs, *args, **kwargs)

    demo.preprocess_data = checks


def number(label: str, low: float, high: float) -> Callable[[Any], float]:
    """A check for a number of a range."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{label}: a number from {low:g} to {high:g} is needed, got {str(value)[:40]!r}")
        return value

    return check


def one_of(label: str, names: Sequence[str]) -> Callable[[Any], str]:
    """A check for one of several texts."""

    def check(value: Any) -> str:
        if value not in list(names):
            raise LookupError(f"{label}: there is no {str(value)[:60]!r} here; choose from {', '.join(names)}")
        return value

    return check


def text(label: str) -> Callable[[Any], str | None]:
    """A check for a text or nothing."""

    def check(value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{label}: a text is needed, got {str(value)[:40]!r}")
        return value

    return check


def read_image(path: str | None) -> np.ndarray:
    """RGB (H, W, 3) uint8 of an uploaded file, upright; messages name no path of this machine.

    Raises:
        ImageError: if there is none, or it is no image, or one of more than 50 million pixels.
    """
    if not path:
        raise ImageError("There is no image yet: upload one, take one with the webcam, or choose an example.")
    if not Path(path).is_file():  # the page may remember one that was removed meanwhile
        raise ImageError("This image is gone, as all are after a while: upload it again.")
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
