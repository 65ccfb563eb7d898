"""From a person's box to the network's input and back (centre/scale affine, 1.25 padding).

N people; boxes are (N, 4) x1, y1, x2, y2; matrices (N, 2, 3) map image pixels to input pixels. Whole numbers are
pixel centres. "aligned" treats pixels as areas; the authors' way, without it, scales the numbers themselves.
"""

from __future__ import annotations

import cv2
import numpy as np

PADDING = 1.25
SHRINK_ABOVE = 4.0  # image pixels per input pixel, beyond what COCO has, from where sampling alone would alias
WARP_LIMIT = 32000  # pixels on a side that OpenCV warps


class BoxError(ValueError):
    """Malformed boxes."""


def check_boxes(boxes: object) -> np.ndarray:
    """(N, 5) float64 x1, y1, x2, y2, score of whatever holds (N, 4 or 5) numbers; a missing score is 1.

    Raises:
        BoxError: for another shape, or naming the first box that is not finite or has no area.
    """
    try:
        array = np.array(boxes, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BoxError("boxes must be rows of 4 or 5 numbers: x1, y1, x2, y2[, score]") from None
    if array.size == 0:
        return np.zeros((0, 5))
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise BoxError(f"boxes must be (N, 4) or (N, 5): x1, y1, x2, y2[, score]; got shape {array.shape}")
    wrong = np.flatnonzero(~np.isfinite(array).all(1) | (np.abs(array) > 1e7).any(1))
    if len(wrong):
        raise BoxError(f"box {wrong[0]} is not finite: {_text(array[wrong[0]])}")
    flat = np.flatnonzero((array[:, 2] <= array[:, 0]) | (array[:, 3] <= array[:, 1]))
    if len(flat):
        row = _text(array[flat[0]])
        raise BoxError(f"box {flat[0]} has no area: {row}; boxes are x1, y1, x2, y2 with x2 > x1 and y2 > y1")
    return array if array.shape[1] == 5 else np.hstack([array, np.ones((len(array), 1))])


def _text(row: np.ndarray) -> str:
    return ", ".join(f"{v:g}" for v in row)


def crop_regions(boxes: np.ndarray, input_size: tuple[int, int], padding: float = PADDING) -> np.ndarray:
    """(N, 4) centre x, y, width, height of the regions to cut: boxes padded and brought to the input's shape."""
    aspect = input_size[1] / input_size[0]
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    width = np.maximum(width, height * aspect) * padding
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, width, width / aspect], 1)


def crop_matrices(
    regions: np.ndarray, input_size: tuple[int, int], aligned: bool, rotation: np.ndarray | float = 0.0
) -> np.ndarray:
    """(N, 2, 3) image to input: a region's centre to the input's, its width to the input's, turned by ``rotation``.

    Args:
        rotation: degrees, counter-clockwise on the screen, one or (N,).
    """
    h, w = input_size
    half = 0.5 * aligned
    scale = w / regions[:, 2]
    angle = np.broadcast_to(np.deg2rad(rotation), scale.shape)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    cx, cy = regions[:, 0] - half, regions[:, 1] - half
    return np.stack(
        [cos, sin, w / 2 - half - cos * cx - sin * cy, -sin, cos, h / 2 - half + sin * cx - cos * cy], 1
    ).reshape(-1, 2, 3)


def invert(matrices: np.ndarray) -> np.ndarray:
    """(N, 2, 3) of the opposite direction."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], 2)


def transform(matrices: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """(N, K, D) keypoints with x, y moved by (N, 2, 3) ``matrices`` and all else as it was."""
    xy = keypoints[..., :2] @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return np.concatenate([xy, keypoints[..., 2:]], -1)


def crop(image: np.ndarray, matrix: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 input of one (2, 3) image-to-input ``matrix``; outside the image is black.

    A region much larger than the input is averaged down first, so that sampling does not alias.
    """
    back = invert(matrix[None])[0]
    step = float(np.hypot(back[0, 0], back[1, 0]))
    if step > SHRINK_ABOVE or max(image.shape[:2]) > WARP_LIMIT:
        image, back = _shrink(image, back, input_size, int(step / 2) if step > SHRINK_ABOVE else 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, back, input_size[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _shrink(
    image: np.ndarray, back: np.ndarray, input_size: tuple[int, int], factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part of the image a crop sees, ``factor`` times smaller, and the input-to-image matrix for it."""
    h, w = input_size
    corners = np.array([[-1, -1], [w, -1], [-1, h], [w, h]]) @ back[:, :2].T + back[:, 2]
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(0)), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    size = np.maximum((high - low) // factor, 1)
    ratio = (high - low) / size  # image pixels per pixel of the smaller part
    small = cv2.resize(part, tuple(int(s) for s in size), interpolation=cv2.INTER_AREA)
    linear = back[:, :2] / ratio[:, None]
    offset = (back[:, 2] - low + 0.5) / ratio - 0.5
    return small, np.hstack([linear, offset[:, None]])
