"""Images that a network is calibrated with for computing in 8-bit integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..archs.tasks import BOTTOMUP, SEGMENTATION
from ..data.images import SUFFIXES, ImageError, ImageLike, load_image, pad_to_multiple
from ..data.sizes import COARSEST, canvas_size, reduced
from ..data.transforms import crop, crop_matrices, crop_regions
from ..nn.network import ScaleNet

CalibrationImages = str | Path | Sequence[ImageLike]  # a folder of them, or themselves
IMAGES = 32  # of a folder, evenly spread


def calibration_inputs(model: ScaleNet, size: tuple[int, int], given: CalibrationImages) -> Iterator[np.ndarray]:
    """What ``model`` sees of images, each (1, 3, H, W) uint8.

    A segmentation network sees them as the predictor shows them; a pose network sees each whole image as one person,
    a bottom-up network the image at its size.

    Args:
        size: (H, W) that the network was made for.
        given: images, or a folder, of which 32 are taken, subfolders included.

    Raises:
        ImageError: if there is none, or one cannot be read.
    """
    for image in _listed(given):
        pixels = load_image(image)
        height, width = pixels.shape[:2]
        if model.spec == SEGMENTATION:
            seen = pad_to_multiple(reduced(pixels, size), COARSEST)
        else:
            shape = canvas_size(height, width, min(size)) if model.spec == BOTTOMUP else size
            regions = crop_regions(np.array([[0, 0, width, height]]), shape)
            aligned = model.labels is not None and model.labels.convention == "aligned"
            seen = crop(pixels, crop_matrices(regions, shape, aligned)[0], shape)
        yield np.ascontiguousarray(seen.transpose(2, 0, 1)[None])


def _listed(given: CalibrationImages) -> Sequence[ImageLike]:
    if not isinstance(given, (str, Path)):
        return given
    found = sorted(path for path in Path(given).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ImageError(f"no image in {given}: calibration needs a folder of some")
    return found[:: max(1, len(found) // IMAGES)][:IMAGES]
