"""A keypoint data set with its images in another size: annotations of small images for the same at full size."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scalenet.data.images import SUFFIXES, read_rgb
from scalenet.data.keypoints import KeypointSet, read_json, write_json

from .data import DataError, atomic_folder


def rescale(root: str | Path, images: str | Path, out: str | Path) -> int:
    """Write ``root``'s splits with the images of the same stems in the folder ``images``; returns how many images.

    Raises:
        DataError: if there are no annotations, an image is missing, two have one stem, or ``out`` exists already.
    """
    files = sorted((Path(root) / "annotations").glob("*.json"))
    if not files:
        raise DataError(f"{root} has no annotations/*.json")
    found: dict[str, Path] = {}
    for path in sorted(Path(images).iterdir()):
        if path.suffix.lower() in SUFFIXES and found.setdefault(path.stem, path) != path:
            raise DataError(f"{images} holds two images {path.stem}: {found[path.stem].name} and {path.name}")
    with atomic_folder(out) as partial:
        return sum(_split(Path(root), file, found, partial) for file in files)


def _split(root: Path, file: Path, found: dict[str, Path], out: Path) -> int:
    data = read_json(file, "annotations")
    split = KeypointSet.open(root, file.stem)
    folder = out / "images" / file.stem
    folder.mkdir(parents=True)
    factors: dict[Any, tuple[float, float]] = {}
    for image in tqdm(data["images"], desc=file.stem, disable=None):
        source = found.get(Path(image["file_name"]).stem)
        if source is None:
            raise DataError(f"there is no image of the stem {Path(image['file_name']).stem}, which {file} names")
        old, new = split.pixels(image["id"]).shape, read_rgb(source).shape
        factors[image["id"]] = new[1] / old[1], new[0] / old[0]
        image |= {"file_name": source.name, "height": new[0], "width": new[1]}
        shutil.copyfile(source, folder / source.name)
    for annotation in data["annotations"]:
        _scale(annotation, *factors[annotation["image_id"]])
    (out / "annotations").mkdir(exist_ok=True)
    write_json(out / "annotations" / file.name, data)
    return len(factors)


def _scale(annotation: dict[str, Any], x: float, y: float) -> None:
    """Change an annotation's joints (pixel centres are whole numbers), box (edges) and area."""
    flat = annotation["keypoints"]
    for i in range(0, len(flat), 3):
        if flat[i + 2]:
            flat[i], flat[i + 1] = round((flat[i] + 0.5) * x - 0.5, 2), round((flat[i + 1] + 0.5) * y - 0.5, 2)
    annotation["bbox"] = [round(v * f, 2) for v, f in zip(annotation["bbox"], (x, y, x, y), strict=True)]
    if "area" in annotation:
        annotation["area"] = round(annotation["area"] * x * y, 2)
