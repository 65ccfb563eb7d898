"""Files of person boxes: {file name: [[x, y, w, h], …]}, a detector's results in COCO's form, or COCO annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import warn
from .annotations import images_by_id
from .transforms import BoxError, check_boxes

PERSON = 1  # COCO's category

Boxes = dict[str | int, np.ndarray]


def read_boxes(path: str | Path) -> Boxes:
    """(N, 5) x1, y1, x2, y2, score by file name or, from COCO results, by image id.

    Of COCO's forms the entries of category 1 count (where there are but others, that is said), of annotations those
    that are no crowds. A row may end with a
    score; without one it is 1.

    Raises:
        FileNotFoundError: if there is no such file.
        BoxError: if it is in none of the forms, or has two images of one name; or naming the first image with a box
            that is none.
        DataError: if two images of annotations have one id.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no boxes file {path}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise BoxError(f"{path} is not JSON ({str(e)[:60]})") from None
    coco = isinstance(data, Mapping) and {"images", "annotations"} <= set(data)
    rows: Mapping[Any, Any]
    if coco and data["images"]:
        rows = _from_annotations(data, path)
    elif isinstance(data, Mapping) and not coco:
        rows = dict(data)
    elif isinstance(data, list):
        rows = _from_results(data, path)
    else:
        raise BoxError(f"{path} must be {{file name: [[x, y, w, h], …]}}, a list of COCO results or COCO annotations")
    return {key: xywh_to_xyxy(value, f"{path}: {key}") for key, value in rows.items()}


def _from_results(data: Sequence[Any], path: Path) -> dict[str | int, list[list[float]]]:
    rows: dict[str | int, list[list[float]]] = {}
    _check_category(data, path)
    for number, entry in enumerate(data):
        known = isinstance(entry, Mapping) and isinstance(entry.get("image_id"), (int, str))
        if not known or not isinstance(entry.get("bbox"), list):
            raise BoxError(f"{path}: entry {number} lacks image_id or bbox; COCO results of a detector have both")
        if entry.get("category_id", PERSON) == PERSON:
            rows.setdefault(entry["image_id"], []).append([*entry["bbox"], entry.get("score", 1.0)])
    return rows


def _from_annotations(data: Mapping[str, Any], path: Path) -> dict[str | int, list[list[float]]]:
    """By file name; images without people have no rows.

    Raises:
        BoxError, DataError: if something is missing, or two images have one id or one name.
    """
    try:
        names = {number: Path(image["file_name"]).name for number, image in images_by_id(data["images"], path).items()}
        rows: dict[str | int, list[list[float]]] = {name: [] for name in names.values()}
        _check_category(data["annotations"], path)
        for entry in data["annotations"]:
            if entry.get("category_id", PERSON) == PERSON and not entry.get("iscrowd"):
                rows[names[entry["image_id"]]].append(entry["bbox"])
    except (KeyError, TypeError, AttributeError) as e:
        raise BoxError(f"{path}: COCO annotations have images with id and file_name, and annotations with image_id "
                       f"and bbox; here {e} is wrong") from None  # fmt: skip
    if len(rows) < len(names):
        twice = Counter(names.values()).most_common(1)[0][0]
        raise BoxError(f"{path}: two images are called {twice}: whose boxes are whose is not told by their names")
    return rows


def _check_category(entries: Sequence[Any], path: Path) -> None:
    """Say it if all entries are of categories other than 1, as a detector's may be that counts from 0."""
    found = [entry.get("category_id", PERSON) for entry in entries if isinstance(entry, Mapping)]
    if found and PERSON not in found:
        others = ", ".join(sorted(set(map(str, found)))[:5])
        warn(f"{path}: people are of category {PERSON}, all {len(found)} boxes here of {others}: nobody is taken")


def xywh_to_xyxy(rows: Any, what: str) -> np.ndarray:
    """(N, 5) x1, y1, x2, y2, score of rows x, y, width, height[, score].

    Raises:
        BoxError: starting with ``what``, if they are no such rows or a box has no area.
    """
    try:
        table = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        table = np.array(np.nan)
    if table.shape == (0,):
        return np.zeros((0, 5))
    if table.ndim != 2 or table.shape[1] not in (4, 5):
        raise BoxError(f"{what}: boxes must be rows of x, y, width, height[, score]")
    flat = np.flatnonzero((table[:, 2:4] <= 0).any(1))
    if len(flat):
        x, y, w, h = table[flat[0], :4]
        raise BoxError(f"{what}: box {flat[0]} at {x:g}, {y:g} has no area: its width is {w:g}, its height {h:g}")
    table[:, 2:4] += table[:, :2]
    try:
        return check_boxes(table)
    except BoxError as e:
        raise BoxError(f"{what}: {e}") from None


def boxes_of(table: Boxes, image: str | Path) -> np.ndarray | None:
    """The boxes of an image by its path as given, its name, its stem, or the number its stem is; None: no entry."""
    key = _key_of(table, image)
    return None if key is None else table[key]


def _key_of(table: Boxes, image: str | Path) -> str | int | None:
    path = Path(image)
    keys: list[str | int] = [str(image), path.name, path.stem]
    keys += [int(path.stem)] if path.stem.isdecimal() else []
    return next((k for k in keys if k in table), None)


def boxes_for(table: Boxes, images: Sequence[str | Path], what: str | Path) -> list[np.ndarray]:
    """(N, 5) boxes of each image, (0, 5) where the table has no entry.

    Raises:
        BoxError: if it has entries, but none for any of them, or one entry for two; ``what`` names the file.
    """
    owners: dict[str | int, str] = {}
    for image in map(str, images):
        key = _key_of(table, image)
        if key is not None and owners.setdefault(key, image) != image:
            raise BoxError(f"{what}: the boxes of {key!r} could be those of {owners[key]} or of {image}")
    rows = [boxes_of(table, image) for image in images]
    if table and all(row is None for row in rows):
        raise BoxError(f"{what} names none of the images given")
    return [np.zeros((0, 5)) if row is None else row for row in rows]
