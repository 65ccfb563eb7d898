"""Re-encode a data set small, so that a machine with little memory or a slow disk can train on it.

Forms known: ``images/SPLIT`` + ``labels/SPLIT``, CamVid's ``SPLIT`` + ``SPLITannot``, Cityscapes' (labels stay indices,
nearest neighbour), an ImageFolder, and its tar files (``SPLIT.tar`` holding ``class/image``), which are unpacked.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from scalenet.data.images import decode_rgb, save_image
from scalenet.data.segmentation import decode_label, hidden

from .data import DataError, atomic_folder, holds_labels
from .data.classification import SUFFIXES, tar_images
from .data.segmentation import CLASSES_FILE

ANNOTATIONS = ("annotations", "json")
Item = tuple[str, bytes]  # path below the root, encoded image


def find_items(root: str | Path) -> Iterator[Item]:
    """All images below ``root`` and in its tar files (a tar's members count as lying in a folder of its name)."""
    root = Path(root)
    for path in sorted(root.rglob("*")):
        if hidden(path.relative_to(root)):
            continue
        if "gtFine" in path.relative_to(root).parts and not path.stem.endswith(("_labelIds", "_labelTrainIds")):
            continue  # Cityscapes' coloured and instance labels
        if path.suffix.lower() in SUFFIXES:
            yield path.relative_to(root).as_posix(), path.read_bytes()
        elif path.suffix == ".tar":
            for name, data in tar_images(path):
                if ".." not in name.parts:
                    yield (path.relative_to(root).with_suffix("") / Path(*name.parts[-2:])).as_posix(), data


def shrink(data: bytes, long_side: int, label: bool, what: str) -> tuple[str, np.ndarray]:
    """Suffix and RGB image (or index label) with a long side of at most ``long_side``."""
    if label:
        array = decode_label(data, what)
    else:
        array = decode_rgb(data, what)
    scale = min(1.0, long_side / max(array.shape[:2]))
    if scale < 1:
        size = tuple(max(1, round(scale * s)) for s in array.shape[1::-1])
        array = cv2.resize(array, size, interpolation=cv2.INTER_NEAREST_EXACT if label else cv2.INTER_AREA)
    return (".png" if label else ".jpg"), array


def prepare(root: str | Path, out: str | Path, long_side: int, quality: int = 92) -> int:
    """Re-encode everything; returns the number of images written. ``out`` appears only when all is done.

    Raises:
        DataError: if there are no images, one cannot be read, two would become one file, people are annotated in
            files (which would no longer fit), or ``out`` exists already.
    """
    if any((Path(root) / folder).is_dir() for folder in ANNOTATIONS):
        raise DataError(f"{root} holds annotation files, whose coordinates would no longer fit; keep it as it is")
    written: dict[Path, str] = {}
    with atomic_folder(out) as partial:
        for name, data in tqdm(find_items(root), desc="prepare", unit=" images"):
            label = holds_labels(Path(name).parent)
            suffix, array = shrink(data, long_side, label, name)
            target = partial / Path(name).with_suffix(suffix)
            if written.setdefault(target, name) != name or target.exists():
                raise DataError(f"{written[target]} and {name} would both become {target.relative_to(partial)}")
            target.parent.mkdir(parents=True, exist_ok=True)
            save_image(target, array, quality)
        if not written:
            raise DataError(f"no images under {root}")
        if (Path(root) / CLASSES_FILE).is_file():
            shutil.copyfile(Path(root) / CLASSES_FILE, partial / CLASSES_FILE)
    return len(written)
