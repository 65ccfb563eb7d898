"""Pictures in: whatever a user holds becomes an RGB uint8 array (H, W, 3)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageError(ValueError):
    """A picture that cannot be read or is too large."""


def decode_rgb(data: bytes, what: str = "the picture") -> np.ndarray:
    """Decode an encoded picture to RGB uint8 (H, W, 3).

    Raises:
        ImageError: if the bytes are no picture.
    """
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if array is None:
        raise ImageError(f"{what} is not a picture that can be read")
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB)


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a picture file as RGB uint8 (H, W, 3).

    Raises:
        FileNotFoundError, ImageError: if it is missing or no picture.
    """
    return decode_rgb(Path(path).read_bytes(), str(path))
