"""People with joints in COCO's keypoint form (COCO, LSP, CrowdPose, anybody's): annotations, images, boxes, results.

N people, K joints; annotated keypoints are (N, K, 3) x, y, v with v = 0 for what is not labelled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import DataError
from .annotations import checked, complete, finite, images_by_id, of_category
from .images import SUFFIXES, read_as_annotated
from .io import write_text
from .joint_names import flip_pairs_of
from .labels import DATASETS, JOINT_SIGMAS, Labels, LabelsError, shared_joints

PREFIXES = ("person_keypoints_", "", "crowdpose_", "image_info_")
Result = dict[str, Any]
Joints = list[tuple[int, int]]  # pairs: a joint of the file, the same joint of a network


def read_json(path: str | Path, what: str) -> Any:
    """The JSON of a file.

    Raises:
        FileNotFoundError, DataError: if it is missing or no JSON; ``what`` names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {what} {path}")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise DataError(f"{path} is not JSON ({str(e)[:60]})") from None


def write_json(path: str | Path, data: Any) -> Path:
    """Write a JSON file atomically."""
    return write_text(path, json.dumps(data))


def find_annotations(root: str | Path, split: str) -> Path:
    """The annotation file of a split: a file itself, or ``annotations/SPLIT.json`` under any usual prefix.

    The split may be named with ``.json``.

    Raises:
        DataError: naming what was looked for.
    """
    if split.endswith(".json") and Path(split).is_file():
        return Path(split)
    root = Path(root)
    folder = root / ("json" if (root / "json").is_dir() and not (root / "annotations").is_dir() else "annotations")
    names = [f"{prefix}{split.removesuffix('.json')}.json" for prefix in PREFIXES]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise DataError(f"no split {split!r} under {root}: looked for {', '.join(names)} in {folder}")
    return found[0]


def labels_of(category: Mapping[str, Any], dataset: str) -> Labels:
    """A keypoint category as labels: the known data set of these joints, else names and skeleton as the file has them.

    Raises:
        DataError: if they do not fit each other.
    """
    names = tuple(map(str, category["keypoints"]))
    for known in DATASETS.values():
        if known.names == names:
            return known
    if len(set(names)) < len(names):
        raise DataError(f"{dataset} names a joint twice: {', '.join(names)}")
    try:
        skeleton = tuple((int(a) - 1, int(b) - 1) for a, b in category.get("skeleton", ()))
        return Labels(dataset, names, (), skeleton, flip_pairs_of(names), tuple(category.get("sigmas", ())))
    except (LabelsError, TypeError, ValueError) as e:
        raise DataError(f"{dataset}: keypoint names, skeleton and sigmas do not fit ({str(e)[:80]})") from None


def sigmas_of(labels: Labels) -> np.ndarray:
    """(K,) OKS sigmas: the labels' own, else by joint name from the known data sets.

    Raises:
        DataError: naming a joint that has none.
    """
    if labels.sigmas:
        return np.array(labels.sigmas)
    missing = [n for n in labels.names if n not in JOINT_SIGMAS]
    if missing:
        raise DataError(
            f"no OKS sigma is known for joint {missing[0]!r} of {labels.dataset}: its category needs sigmas"
        )
    return np.array([JOINT_SIGMAS[n] for n in labels.names])


@dataclass(frozen=True)
class People:
    """Labelled people as arrays: image ids (N,), keypoints (N, K, 3), boxes (N, 4) x1, y1, x2, y2."""

    image_ids: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray


class KeypointSet:
    """One split: annotations read and checked, and where its images are.

    Args:
        annotations: the JSON file.
        root, split: where images are looked for (``images/SPLIT``, ``SPLIT``, ``images``); without a root none are.

    Raises:
        DataError: naming what is wrong with the file.
    """

    def __init__(self, annotations: str | Path, root: str | Path | None = None, split: str = "") -> None:
        self.path, self.root, self.split = Path(annotations), root, split
        data = read_json(annotations, "annotation file")
        if not isinstance(data, dict) or not isinstance(data.get("images"), list) or not data["images"]:
            raise DataError(f"{self.path} is no COCO annotation file with images")
        try:
            self._parse(data)
        except (KeyError, TypeError, AttributeError) as e:
            raise DataError(f"{self.path} is not in COCO's form ({type(e).__name__}: {str(e)[:60]})") from None

    def _parse(self, data: Mapping[str, Any]) -> None:
        self.images = images_by_id(data["images"], self.path)
        categories = [c for c in data.get("categories", ()) if c.get("keypoints")]
        # a file without categories has nobody either: who reads it asks first
        self.labels: Labels = labels_of(categories[0], self.path.stem) if categories else None  # type: ignore[assignment]
        self.category_id = categories[0]["id"] if categories else 1
        rows = data.get("annotations") or []
        if rows and not categories:
            raise DataError(f"{self.path} holds no joints: no category of it names keypoints")
        numbers = 3 * len(self.labels.names) if self.labels else 0
        own = of_category(rows, self.category_id, f"{self.path}: annotations")
        self.annotations = [checked(a, self.images, numbers, self.path) for a in own]
        complete(self.annotations, self.path)

    @classmethod
    def open(cls, root: str | Path, split: str) -> KeypointSet:
        """The split of a data folder; see :func:`find_annotations`."""
        return cls(find_annotations(root, split), root, split)

    def in_order_of(self, labels: Labels) -> KeypointSet:
        """The same people with the joints of ``labels``, which may name them in another order.

        Raises:
            DataError: if they are not the same joints, or the file names none.
        """
        own, names = self.labels.names if self.labels else (), labels.names
        if own == names:
            return self
        if sorted(own) != sorted(names):
            raise DataError(f"{self.path} has the joints {', '.join(own) or '(none)'}; wanted are {', '.join(names)}")
        other, order = copy(self), [own.index(name) for name in names]
        sigmas = tuple(self.labels.sigmas[i] for i in order) if self.labels.sigmas else labels.sigmas
        other.labels = replace(labels, sigmas=sigmas)
        other.annotations = [
            {**a, "keypoints": [v for i in order for v in a["keypoints"][3 * i : 3 * i + 3]]} for a in self.annotations
        ]
        return other

    def match(self, names: Sequence[str], outputs: int, enough: Sequence[str] = ()) -> Joints | None:
        """Which of the file's joints a network gives; None: all of them, one by one.

        Args:
            names: the network's joints in order; none for a network that names none, whose number alone must be right.
            outputs: how many it gives.
            enough: joints which to share is enough; none: all must be the file's, in its order.

        Returns:
            (file's joint, network's joint) of those shared, in the file's order.

        Raises:
            DataError: naming the joints of both.
        """
        own = () if self.labels is None else self.labels.names
        if self.labels is None or (outputs == len(own) and tuple(names) in ((), own)):
            return None
        pairs = shared_joints(own, names)
        if enough and set(enough) <= {own[i] for i, _ in pairs}:
            return pairs
        theirs = ", ".join(names) or "it does not name them"
        raise DataError(
            f"{self.path} has {len(own)} joints of {self.labels.dataset} ({', '.join(own)}), the network gives "
            f"{outputs} joints ({theirs})" + (f": both must have {' and '.join(enough)}" if enough else "")
        )

    def people(self, image_ids: Iterable[Any] | None = None) -> People:
        """Everybody with a labelled joint and a box with an area; crowds are left out."""
        wanted = set(self.images if image_ids is None else image_ids)
        joints = len(self.labels.names) if self.labels else 0
        rows = [
            a for a in self.annotations
            if a["image_id"] in wanted and not a["iscrowd"] and any(v > 0 for v in a["keypoints"][2::3])
            and a["bbox"][2] > 0 and a["bbox"][3] > 0
        ]  # fmt: skip
        keypoints = np.array([a["keypoints"] for a in rows], np.float64).reshape(len(rows), joints, 3)
        boxes = np.array([a["bbox"] for a in rows], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return People(np.array([a["image_id"] for a in rows]), keypoints, boxes)

    # -- images ------------------------------------------------------------------------------------------
    @cached_property
    def folder(self) -> Path:
        """Where the images are.

        Raises:
            DataError: naming the folders that were looked for.
        """
        split = Path(self.split).stem
        for prefix in PREFIXES:
            split = split.removeprefix(prefix)
        names = dict.fromkeys([f"images/{split}", split, split.replace("-dev", ""), "images"])
        for name in names:
            if self.root is not None and (Path(self.root) / name).is_dir():
                return Path(self.root) / name
        raise DataError(f"no folder of images under {self.root}: looked for {', '.join(names)}")

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(path.stem, []).append(path)
        return found

    @cached_property
    def _namesakes(self) -> Counter[str]:
        """How many images of the file have a stem."""
        return Counter(Path(str(image.get("file_name"))).stem for image in self.images.values())

    def image(self, image_id: Any) -> Path:
        """The image's file; where there is none of that name, the one of its stem in the folder.

        Raises:
            DataError: if it is not there, not named, or more than one could be meant.
        """
        if not isinstance(self.images[image_id].get("file_name"), str):
            raise DataError(f"{self.path}: image {image_id} has no file_name")
        name = Path(self.images[image_id]["file_name"])
        if (self.folder / name).is_file():
            return self.folder / name
        found = self._by_stem.get(name.stem, [])
        if not found:
            raise DataError(f"no image {name.name} in {self.folder}")
        if len(found) > 1:
            both = " and ".join(path.name for path in found[:2])
            raise DataError(f"no image {name} in {self.folder}, but {both}: keep the one that is meant")
        if self._namesakes[name.stem] > 1:
            raise DataError(f"{found[0]} could be {name} or another image of {self.path} that is called {name.stem}")
        return found[0]

    def pixels(self, image_id: Any) -> np.ndarray:
        """The image in the frame of its annotations; see :func:`~scalenet.data.images.read_as_annotated`."""
        return read_as_annotated(self.image(image_id), self.said_size(image_id))

    def said_size(self, image_id: Any) -> tuple[object, object]:
        """(H, W) of an image as its annotations have it, None where they do not say."""
        said = self.images[image_id]
        return said.get("height"), said.get("width")


def read_results(source: str | Path | list[Result], data: KeypointSet) -> list[Result]:
    """Anybody's results in COCO's form, checked against the annotations they are to be scored with.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: naming the first entry that does not fit.
    """
    results = source if isinstance(source, list) else read_json(source, "results file")
    what = "the results" if isinstance(source, list) else str(source)
    if not isinstance(results, list):
        raise DataError(f"{what} must be a list of COCO results")
    wanted = 3 * len(data.labels.names) if data.labels else 0
    for number, entry in enumerate(results):
        if wrong := _wrong(entry, data, wanted):
            raise DataError(f"{what}: entry {number} {wrong}")
    return of_category(results, data.category_id, f"{what}: results")


def _wrong(entry: Any, data: KeypointSet, numbers: int) -> str:
    """What is wrong with one result; nothing: empty."""
    if not isinstance(entry, dict) or not {"image_id", "keypoints", "score"} <= set(entry):
        return "lacks image_id, keypoints or score"
    if not isinstance(entry["image_id"], (int, str)) or entry["image_id"] not in data.images:
        return f"is of image {entry['image_id']!r}, which {data.path} does not have"
    if not isinstance(entry["keypoints"], list) or len(entry["keypoints"]) != numbers:
        return f"does not have the {numbers} keypoint numbers of {data.path}"
    return "" if finite([*entry["keypoints"], entry["score"]]) else "holds something that is no finite number"
