"""Single labelled people of several data sets with COCO's joints, and how they are cut out. K joints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scalenet.data.images import read_as_annotated
from scalenet.data.keypoints import KeypointSet, read_json
from scalenet.data.labels import COCO_ALIGNED, map_keypoints

from . import DataError
from .bottomup import Unknown

LABELS = COCO_ALIGNED
NAMES = LABELS.names
FACE, BODY = slice(0, 5), slice(5, 17)
HEAD_ENDS = ("neck", "head_top")
LEAST_JOINTS = 9  # of a body's twelve, of somebody who is cut out of a crop
EDGE = 3  # pixels from the edge of a photograph within which a box is cut off by it
BAND = 0.15  # of a cut off box, in its longer side: where joints beyond the edge may still be
MARGIN = 0.08  # of a box around joints, in its longer side, as LSP's boxes have it
Segment = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class AnnotatedPerson:
    """Somebody in an image of a data set, in its pixels.

    Args:
        image: the file.
        keypoints: (K, 3); v = 0 where it is not known where a joint is.
        box: (4,) corners.
        lacking: (K,) bool, joints that the data set does not label of anybody.
        head: (2, 2) neck and top of the head where the data set has them, else None.
        whole: whether the image is a whole photograph rather than somebody's cut-out.
        neighbours: (M, 4) corner boxes of other people in the photograph; None if it is not known where they are.
        size: (H, W) of the image as the annotations say it, None where they do not.
    """

    image: Path
    keypoints: np.ndarray
    box: np.ndarray
    lacking: np.ndarray
    head: np.ndarray | None
    whole: bool
    neighbours: np.ndarray | None = None
    size: tuple[object, object] = (None, None)

    def pixels(self) -> np.ndarray:
        """The image (H, W, 3) in the frame of the joints; see :func:`~scalenet.data.images.read_as_annotated`."""
        return read_as_annotated(self.image, self.size)

    def can_be_cut_out(self) -> bool:
        """Whether enough of the body is labelled; of a photograph, whether the feet are in it."""
        seen = self.keypoints[:, 2] > 0
        if not self.whole:
            return bool(seen[BODY].sum() >= LEAST_JOINTS)
        return bool(seen[-2:].all() and seen[BODY].sum() >= 11 and seen[:7].any())

    def unknown(self, size: tuple[int, int] | None = None) -> list[Unknown]:
        """Where which joints of this person may be without being labelled.

        Args:
            size: (H, W) of the whole photograph they are seen in: what it cuts off is not in it, or at its edge.
        """
        missing = self.keypoints[:, 2] == 0
        head = self.lacking & np.isin(np.arange(len(missing)), range(*FACE.indices(len(missing))))
        parts = []
        if self.head is not None and head.any():
            centre, reach = self.head.mean(0), 0.85 * np.hypot(*(self.head[1] - self.head[0])) + 2
            angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            parts.append(Unknown(centre + reach * np.column_stack([np.cos(angles), np.sin(angles)]), head))
            missing = missing & ~head
        if missing.any():
            boxes = [self.box] if size is None else edge_bands(self.box, size)
            parts += [Unknown(corners(box), missing) for box in boxes]
        return parts


def corners(box: np.ndarray) -> np.ndarray:
    """(4, 2) outline of a corner box."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def enlarged(box: np.ndarray, share: float) -> np.ndarray:
    """A corner box with ``share`` of its longer side more on each side."""
    margin = share * max(box[2] - box[0], box[3] - box[1])
    return box + np.array([-margin, -margin, margin, margin])


def joint_box(xy: np.ndarray) -> np.ndarray:
    """(4,) corner box around joints with LSP's margin."""
    return enlarged(np.concatenate([xy.min(0), xy.max(0)]), MARGIN)


def edge_bands(box: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Parts of a corner box along the edges of an (H, W) photograph that cut it off; the whole box if none does."""
    (x0, y0, x1, y1), (h, w) = box, size
    band, bands = BAND * max(x1 - x0, y1 - y0), []
    for cut_off, part in (
        (x0 <= EDGE, (x0, y0, x0 + band, y1)), (y0 <= EDGE, (x0, y0, x1, y0 + band)),
        (x1 >= w - EDGE, (x1 - band, y0, x1, y1)), (y1 >= h - EDGE, (x0, y1 - band, x1, y1)),
    ):  # fmt: skip
        if cut_off:
            bands.append(np.array(part))
    return bands or [np.asarray(box)]


def read_people(root: str, split: str, neighbours: str = "") -> list[AnnotatedPerson]:
    """Everybody labelled in a split, with COCO's joints. Sets with faces are of whole photographs.

    Args:
        neighbours: a file of :func:`~training.data.neighbours.find_people` for the split, used for whole photographs.

    Raises:
        DataError: if the split is missing, lacks a body's joints, or the file does not know one of its images.
    """
    data = KeypointSet.open(root, split)
    names = data.labels.names if data.labels else ()
    if not set(NAMES[BODY]) <= set(names):
        raise DataError(f"{data.path} lacks joints of COCO's: {', '.join(n for n in NAMES[BODY] if n not in names)}")
    whole = set(NAMES) <= set(names)
    found = read_json(neighbours, "file of neighbours") if neighbours and whole else None
    people, lacking = data.people(), np.array([n not in names for n in NAMES])
    ends = [names.index(n) for n in HEAD_ENDS if n in names]
    mapped = map_keypoints(people.keypoints, names, NAMES)
    persons = []
    for n, image_id in enumerate(people.image_ids.tolist()):
        around = None if found is None else _boxes(found, image_id, neighbours)
        own = people.keypoints[n, ends]
        head = own[:, :2] if len(ends) == 2 and (own[:, 2] > 0).all() else None
        size = data.said_size(image_id)
        persons.append(
            AnnotatedPerson(data.image(image_id), mapped[n], people.boxes[n], lacking, head, whole, around, size)
        )
    return persons


def _boxes(found: Any, image_id: Any, path: str) -> np.ndarray:
    """(M, 4) corner boxes of an image in a file of neighbours."""
    if not isinstance(found, dict) or str(image_id) not in found:
        raise DataError(f"{path} does not know image {image_id}: make it with python -m training neighbours")
    boxes = np.array(found[str(image_id)], float).reshape(-1, 4)
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


# -- cutting out -------------------------------------------------------------------------------------------
LIMBS = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)]
ENDS = [(7, 9, 0.35), (8, 10, 0.35), (13, 15, 0.22), (14, 16, 0.22)]  # hands and feet, in lengths of the limb before


def outline(person: AnnotatedPerson, size: tuple[int, int], along_skeleton: bool) -> np.ndarray:
    """(H, W) float32 coverage 0..1 of somebody in their image: thick limbs, or the box where joints are missing."""
    alpha, joints = np.zeros(size, np.uint8), person.keypoints
    side = float(max(person.box[2:] - person.box[:2]))
    if along_skeleton and (joints[BODY, 2] > 0).all():
        xy = joints[:, :2]
        unit = max(float(np.hypot(*(xy[[5, 6]].mean(0) - xy[[11, 12]].mean(0)))), 0.27 * side)  # a torso
        cv2.fillConvexPoly(alpha, cv2.convexHull(xy[[5, 6, 12, 11]].astype(np.int32)), 255)
        for (a, b), width in _segments(person, unit):
            _line(alpha, a, b, width)
    else:
        x0, y0, x1, y1 = (max(0, round(v)) for v in person.box)
        round_off = round(0.12 * side)
        alpha[y0:y1, x0 + round_off : x1 - round_off] = 255
        alpha[y0 + round_off : y1 - round_off, x0:x1] = 255
    return cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.012 * side)).astype(np.float32) / 255


def _line(alpha: np.ndarray, a: np.ndarray, b: np.ndarray, width: float) -> None:
    start, end = (tuple(round(v) for v in p) for p in (a, b))
    cv2.line(alpha, start, end, 255, max(3, round(width)))


def _segments(person: AnnotatedPerson, unit: float) -> list[tuple[Segment, float]]:
    """Lines and their widths in pixels that cover somebody whose body is labelled; ``unit`` is a torso's length."""
    xy = person.keypoints[:, :2]
    parts = [((xy[a], xy[b]), 0.42 * unit) for a, b in LIMBS]
    parts += [((xy[a], xy[b]), 0.4 * unit) for a, b in ((5, 6), (11, 12), (5, 11), (6, 12))]
    parts += [((xy[b], xy[b] + share * (xy[b] - xy[a])), 0.34 * unit) for a, b, share in ENDS]
    shoulders = xy[[5, 6]].mean(0)
    face = person.keypoints[FACE]
    if person.head is not None:
        neck, top = person.head
        parts += [((neck, top), 0.5 * unit), ((shoulders, neck), 0.4 * unit)]
    elif (face[:, 2] > 0).any():
        centre = face[face[:, 2] > 0, :2].mean(0)
        up = (centre - shoulders) / max(1.0, np.hypot(*(centre - shoulders))) * 0.1 * unit
        parts += [((centre - up, centre + up), 0.58 * unit), ((shoulders, centre), 0.4 * unit)]
    return parts
