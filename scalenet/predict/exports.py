"""Results in other libraries' forms: palette PNGs, COCO's stuff, supervision. (H, W) an image's size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..data.images import ImageError
from ..data.io import atomic_write
from ..data.labels import Colour

if TYPE_CHECKING:
    import supervision


def save_palette(path: str | Path, mask: np.ndarray, colours: Sequence[Colour]) -> Path:
    """Write an (H, W) index mask as a PNG with a palette, whole or not at all.

    Raises:
        ImageError: for another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path}: a mask with a palette is a .png file")
    image = Image.fromarray(mask)
    image.putpalette([value for colour in colours for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG", compress_level=1)  # as OpenCV's: half the default's time, a third larger
    return path


def stuff_results(mask: np.ndarray, image_id: int | str) -> list[dict[str, Any]]:
    """COCO's results of stuff for an (H, W) index mask: uncompressed run lengths, column by column."""
    return [
        {
            "image_id": image_id,
            "category_id": int(index),
            "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask == index)},
            "area": int((mask == index).sum()),
        }
        for index in np.unique(mask)
    ]


def run_lengths(region: np.ndarray) -> list[int]:
    """Lengths of the runs of an (H, W) bool region read column by column, the first of them False (maybe 0 long)."""
    flat = region.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], ends, [len(flat)]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def detections(mask: np.ndarray, names: Sequence[str]) -> supervision.Detections:
    """``supervision.Detections`` of an (H, W) index mask, one for each class that occurs."""
    library = _supervision()
    present = np.unique(mask)
    masks = np.stack([mask == index for index in present])
    return library.Detections(
        xyxy=library.mask_to_xyxy(masks).astype(np.float32), mask=masks, class_id=present.astype(int),
        data={"class_name": np.array([names[i] for i in present])},
    )  # fmt: skip


def key_points(keypoints: np.ndarray, scores: np.ndarray) -> supervision.KeyPoints:
    """``supervision.KeyPoints`` of (N, K, 3) keypoints and (N,) scores."""
    library = _supervision()
    if not len(keypoints):
        return library.KeyPoints.empty()
    return library.KeyPoints(
        xy=keypoints[..., :2].astype(np.float32), keypoint_confidence=keypoints[..., 2].astype(np.float32),
        detection_confidence=scores.astype(np.float32), class_id=np.zeros(len(keypoints), int),
    )  # fmt: skip


def _supervision() -> ModuleType:
    try:
        import supervision
    except ImportError:
        raise ImportError("to_supervision() needs supervision: pip install supervision") from None
    return supervision
