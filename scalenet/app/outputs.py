"""What visitors get: files to look at and to take away, and a few lines of HTML."""

from __future__ import annotations

import html
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..data.images import save_image
from ..data.io import write_text
from ..data.labels import Labels
from ..predict.results import PoseResult, SegmentationResult, percent
from ..predict.visualization import person_colour
from ..video.process import VideoSummary

LISTED = 12  # people on the page
Pair = tuple[str, str]  # paths of two images of one size: before, and after
SHOWN_SIDE = 1600  # pixels of the long side on the page; downloads have all of them


@contextmanager
def result_folder(cache: str | Path) -> Iterator[Path]:
    """A new folder of an unguessable name inside gradio's temporary one, whose files gradio removes after a while.

    It is removed at once if the ``with`` block fails.
    """
    folder = Path(cache) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def stem_of(upload: str | None) -> str:
    """A short name for the files made from an upload."""
    return Path(upload or "").stem[:40] or "image"


def write_shown(folder: Path, name: str, image: np.ndarray) -> str:
    """A JPEG of an RGB image for the page, its long side at most 1600 pixels; returns the path."""
    scale = SHOWN_SIDE / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(n * scale)) for n in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    path = folder / f"{name}_shown.jpg"
    save_image(path, image, quality=92)
    return str(path)


def write_pair(folder: Path, stem: str, before: np.ndarray, after: np.ndarray) -> Pair:
    """``write_shown`` for two RGB images of one size."""
    return write_shown(folder, f"{stem}_before", before), write_shown(folder, stem, after)


def size_text(size: tuple[int, ...]) -> str:
    """Width x height of an (H, W, …) shape, as people say it."""
    return f"{size[1]} x {size[0]} pixels"


def write_image(folder: Path, name: str, image: np.ndarray) -> str:
    """A PNG of an RGB or index image; returns the path."""
    save_image(folder / f"{name}.png", image)
    return str(folder / f"{name}.png")


def write_result(folder: Path, name: str, values: dict[str, Any]) -> str:
    """A JSON file; returns the path."""
    path = folder / f"{name}.json"
    write_text(path, json.dumps(values, allow_nan=False))
    return str(path)


def facts_html(name: str, facts: dict[str, Any], seconds: float, did: str) -> str:
    """One line: the network, its parameters and multiply-adds, and how long it took."""
    height, width = facts["input_size"]
    parts = [
        f"<b>{html.escape(name)}</b>",
        f"{facts['params'] / 1e6:.2f} million parameters",
        f"{facts['macs'] / 1e9:.2f} GMACs at {width} x {height}",
        f"{html.escape(did)} in {seconds:.2f} s",
    ]
    return f"<p>{' '.join(f'<span>{part}</span>' for part in parts)}</p>"


def shares_html(result: SegmentationResult, at_least: float) -> str:
    """The legend: a row with colour, name, bar and share for each class that is shown."""
    colours = dict(zip(result.classes, result.labels.colours, strict=True))
    found = result.found(at_least)
    if not found:
        return '<p class="none">No class covers that much of the image.</p>'
    return _rows((colours[name], name, share, percent(share)) for name, share in found.items())


def note_html(result: SegmentationResult) -> str:
    """A line where the image is unlike those that the network learned from, else nothing."""
    return f'<p class="none">{html.escape(result.note)}</p>' if result.note else ""


def video_html(summary: VideoSummary, labels: Labels) -> str:
    """The legend of a video: mean shares of the classes from 0.1 % on, or how many people there are."""
    if "shares" not in summary.found:
        people, most = summary.found["people"], summary.found["most_people"]
        text = "" if people is None else "1 person in all, " if people == 1 else f"{people} people in all, "
        return f'<p class="none">{text}at most {most} at once</p>'
    shares = summary.found["shares"]
    order = sorted((i for i, share in enumerate(shares) if share >= 0.001), key=lambda i: -shares[i])
    return _rows((labels.colours[i], labels.names[i], shares[i], percent(shares[i])) for i in order)


def people_html(result: PoseResult, threshold: float) -> str:
    """A row for each person, in the colour it is drawn in: score, and how many joints are drawn."""
    if not len(result):
        return '<p class="none">Nobody was found in this image.</p>'
    joints = (result.keypoints[..., 2] >= threshold).sum(1)
    total = len(result.labels.names)
    people = list(zip(joints, result.scores, strict=True))
    rows = _rows(
        (person_colour(i - 1), f"person {i} · {n} of {total} joints", float(np.clip(score, 0, 1)), f"{score:.2f}")
        for i, (n, score) in enumerate(people[:LISTED], start=1)
    )
    more = len(people) - LISTED
    return rows + (f'<p class="none">and {more} more, all in the JSON file</p>' if more > 0 else "")


def _rows(rows: Iterator[tuple[tuple[int, int, int], str, float, str]]) -> str:
    parts = []
    for colour, name, share, text in rows:
        rgb = ",".join(map(str, colour))
        parts.append(
            f'<li><i style="background:rgb({rgb})"></i><span>{html.escape(name)}</span>'
            f'<u><s style="width:{share:.1%}"></s></u><b>{html.escape(text)}</b></li>'
        )
    return f'<ul class="shares">{"".join(parts)}</ul>'
