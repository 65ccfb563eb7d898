"""Images and people of a COCO-form file: what cannot be is refused, what evaluators need is filled in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import DataError, warn

Row = dict[str, Any]
AREA_OF_BOX = 0.53  # that a person covers, as CrowdPose's evaluator has it


def images_by_id(images: Iterable[Row], path: Path) -> dict[Any, Row]:
    """Images of a file by their id.

    Raises:
        DataError: for an id that two have, one that is no number or text, or some of each.
    """
    found: dict[Any, Row] = {}
    for image in images:
        number = image["id"]
        if not isinstance(number, (int, float, str)):
            raise DataError(f"{path}: an image's id is a number or a text, got {str(number)[:40]}")
        if number in found:
            both = " and ".join(str(i.get("file_name")) for i in (found[number], image))
            raise DataError(f"{path}: two images have the id {number}: {both}; files that are merged need new ids")
        found[number] = image
    if len({isinstance(number, str) for number in found}) > 1:
        raise DataError(f"{path}: the ids of some images are numbers, of others texts")
    return found


def of_category(rows: list[Row], category: Any, what: str) -> list[Row]:
    """The annotations or results of a category, or that name none; the rest is left out, and that is said.

    Raises:
        DataError: if nothing is left.
    """
    own = [row for row in rows if row.get("category_id", category) == category]
    if rows and not own:
        others = ", ".join(sorted({str(row["category_id"]) for row in rows})[:5])
        raise DataError(f"{what}: none of {len(rows)} is of category {category}, which has the joints, but of {others}")
    if len(own) < len(rows):
        warn(f"{what}: {len(rows) - len(own)} of {len(rows)} are not of category {category} and left out")
    return own


def checked(annotation: Mapping[str, Any], images: Mapping[Any, Row], numbers: int, path: Path) -> Row:
    """A copy of an annotation, with a crowd flag.

    Args:
        numbers: how many its keypoints are.

    Raises:
        DataError: naming what is wrong with it.
    """
    a, what = {"iscrowd": 0, **annotation}, f"{path}: annotation {annotation.get('id')}"
    if not isinstance(a.get("keypoints"), list) or len(a["keypoints"]) != numbers:
        raise DataError(f"{what} does not have {numbers} keypoint numbers")
    if a.get("image_id") not in images:
        raise DataError(f"{what} is of image {a.get('image_id')!r}, which is not there")
    if not isinstance(a.get("bbox"), list) or len(a["bbox"]) != 4:
        raise DataError(f"{what} has no bbox [x, y, w, h]")
    given = [a[key] for key in ("area", "num_keypoints") if a.get(key) is not None]
    if "id" not in a or not finite([*a["keypoints"], *a["bbox"], *given]):
        raise DataError(f"{what} lacks an id, or holds something that is no finite number")
    if a["iscrowd"] not in (0, 1, None):
        raise DataError(f"{what}: iscrowd is 0 or 1, got {str(a['iscrowd'])[:40]}")
    return {**a, "iscrowd": int(a["iscrowd"] or 0)}


def complete(people: list[Row], path: Path) -> None:
    """Fill in numbers of joints and areas where they are missing or cannot be; what is made up is said.

    Where a file counts no joint of anybody, its labelled ones are counted. (CrowdPose's counts no heads and necks, and
    its metrics are of those whom it counts.)
    """
    labelled = [sum(v > 0 for v in a["keypoints"][2::3]) for a in people]
    uncounted = not any(a.get("num_keypoints") for a in people)
    recounted = flat = boxless = 0
    for a, joints in zip(people, labelled, strict=True):
        counts = joints > 0 and not a["iscrowd"]
        recounted += counts and uncounted and a.get("num_keypoints") == 0
        if uncounted or a.get("num_keypoints") is None:
            a["num_keypoints"] = joints
        width, height = a["bbox"][2:]
        boxless += counts and (width <= 0 or height <= 0)
        a["area"] = width * height if a.get("area") is None else a["area"]
        if a["area"] <= 0 and counts:
            a["area"] = AREA_OF_BOX * (width * height if width > 0 and height > 0 else _extent(a["keypoints"]))
            flat += 1
    if recounted:
        warn(f"{path}: num_keypoints is 0 of everybody; the labelled joints are counted instead")
    if flat:
        warn(f"{path}: {flat} of {len(people)} people have an area of 0; {AREA_OF_BOX} of their box is taken instead")
    if boxless:
        warn(f"{path}: {boxless} of {len(people)} people have a box without an area; nobody is cut out by such a box")


def finite(values: Sequence[Any]) -> bool:
    """Whether all are numbers that a float can hold."""
    try:
        return all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
    except OverflowError:
        return False


def _extent(keypoints: Sequence[float]) -> float:
    """Pixels in the box around the labelled joints."""
    xy = [(x, y) for x, y, v in zip(*(keypoints[i::3] for i in range(3)), strict=True) if v > 0]
    width, height = (max(values) - min(values) for values in zip(*xy, strict=True))
    return width * height
