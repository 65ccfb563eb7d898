"""Bottom-up pose: everybody in an image at once, no boxes needed.

N people, K joints, (H, W) size of the network's input for an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..archs.budget import Budget, Limit
from ..archs.tasks import BOTTOMUP
from ..data.images import ImageLike, as_tensor, load_image
from ..data.sizes import canvas_size
from ..data.transforms import crop, crop_matrices, invert, transform
from ..engines.calibration import CalibrationImages
from ..nn.network import ScaleNet
from ..pose.grouping import group_keypoints
from ..runtime.device import Device
from .base import Predictor
from .results import PoseResult

PERSON_THRESHOLD = 0.2
TAG_THRESHOLD, OWN_TAG_THRESHOLD = 1.0, 0.4  # the second chosen on composed crowds of val among 0.25 to 1


@dataclass(frozen=True)
class _Canvas:
    """An image and the region of it, borders included, that the network's input shows."""

    image: np.ndarray
    size: tuple[int, int]

    def matrix(self, size: tuple[int, int], aligned: bool) -> np.ndarray:
        """(1, 2, 3) image to an input of ``size``: centred, as large as fits, black around."""
        h, w = self.image.shape[:2]
        scale = min(self.size[0] / h, self.size[1] / w)
        region = np.array([[w / 2, h / 2, self.size[1] / scale, self.size[0] / scale]])
        return crop_matrices(region, size, aligned)


class BottomUpPoseEstimator(Predictor):
    """Bottom-up pose estimation: everybody's keypoints in one forward pass, grouped by tags.

    Args:
        name_or_model: a bottom-up network, its registered name, "hf-hub:…", "local-dir:…" or a ``.safetensors`` file.
            One that is handed over is copied, see :class:`~scalenet.predict.base.Predictor`.
        device: default cuda, mps or cpu, the first there is.
        batch_size: images of one input size that run together.
        engine, dtype, calibration: what runs it, and in which numbers, see :class:`~scalenet.predict.base.Predictor`.
        flip: flip test (twice the time): heatmaps are averaged, tags of both are used.
        scales: multi-scale test, factors of the input size; tags are taken at scale 1, which must be among them.
        input_size: of the image's short side; default what the network was trained for.
        max_people, detection_threshold, tag_threshold: as in :func:`~scalenet.pose.grouping.group_keypoints`; the
            last by default 1, HigherHRNet's, and 0.4 for networks of the "aligned" convention, whose people's tags
            lie closer together.
        person_threshold: people of a lower score are left out; 0 gives everybody, as COCO's metrics are measured.
        max_macs, max_latency_ms: see :class:`~scalenet.predict.base.Predictor`.

    Raises:
        ValueError: if it is no bottom-up network, or a setting is out of range.
    """

    spec = BOTTOMUP

    def __init__(
        self,
        name_or_model: str | Path | ScaleNet,
        device: Device = None,
        batch_size: int = 1,
        *,
        engine: str = "torch",
        dtype: str | None = None,
        calibration: CalibrationImages | None = None,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        input_size: int | None = None,
        max_people: int = 30,
        detection_threshold: float = 0.1,
        tag_threshold: float | None = None,
        person_threshold: float = PERSON_THRESHOLD,
        max_macs: Limit | None = None,
        max_latency_ms: Limit | None = None,
    ) -> None:
        budget = Budget.of(max_macs, None, max_latency_ms)
        super().__init__(name_or_model, device, batch_size, engine, dtype, budget, calibration)
        if 1.0 not in scales or min(scales) <= 0 or max(scales) > 4:
            raise ValueError(f"scales must lie in 0..4 and hold 1, which the tags are taken from; got {tuple(scales)}")
        self.aligned = self.labels.convention == "aligned"
        self.flip, self.scales = flip and bool(self.labels.flip_pairs), tuple(scales)
        self.input_size = input_size or min(self.trained_size)
        if self.input_size < 1:
            raise ValueError(f"input_size must be at least 1, got {input_size}")
        self.person_threshold = person_threshold
        if tag_threshold is None:
            tag_threshold = OWN_TAG_THRESHOLD if self.aligned else TAG_THRESHOLD
        self.grouping: dict[str, Any] = {
            "max_people": max_people, "detection_threshold": detection_threshold, "tag_threshold": tag_threshold,
        }  # fmt: skip

    def __call__(
        self, image: ImageLike | Sequence[ImageLike], flip: bool | None = None
    ) -> PoseResult | list[PoseResult]:
        """Everybody's joints in an image, or in each image of a list; best-scored people first.

        Args:
            image: path, http(s) address, bytes, file object, PIL image, RGB uint8 array, tensor (uint8, or float
                0..1), or several: a list, a generator, a (B, 3, H, W) tensor.
            flip: another choice than the estimator's for this call.

        Raises:
            GroupingError: if the network gives NaN or infinity.
        """
        return self._results(image, partial(self.stream, flip=flip))

    def stream(self, images: Iterable[ImageLike], flip: bool | None = None) -> Iterator[PoseResult]:
        """Results in order; neighbours of one input size run together, up to ``batch_size``.

        From a ``batch_size`` of 2 on the next images are read while those before are grouped and given back.

        Raises:
            GroupingError: if the network gives NaN or infinity.
        """
        run = partial(self.maps, flip=self._flips(flip))
        for batch, (heatmaps, tags) in self._batches(self._canvases(images), lambda canvas: canvas.size, run):
            yield from self._group(batch, heatmaps, tags)

    def _canvases(self, images: Iterable[ImageLike]) -> Iterator[_Canvas]:
        for image in images:
            pixels = load_image(image)
            yield _Canvas(pixels, canvas_size(pixels.shape[0], pixels.shape[1], self.input_size))

    def _group(self, batch: list[_Canvas], heatmaps: np.ndarray, tags: np.ndarray) -> Iterator[PoseResult]:
        for canvas, heat, tag in zip(batch, heatmaps, tags, strict=True):
            keypoints, scores = group_keypoints(heat, np.moveaxis(tag, 1, 3), **self.grouping)
            keypoints, missing = keypoints.astype(float), keypoints[..., 2:] == 0
            keypoints[..., :2] -= 0.5 * self.aligned
            back = np.repeat(invert(canvas.matrix(canvas.size, self.aligned)), len(keypoints), 0)
            keypoints = np.where(missing, 0, transform(back, keypoints))
            best = np.argsort(-scores, kind="stable")
            best = best[scores[best] >= self.person_threshold]
            yield PoseResult(keypoints[best].astype(np.float32), scores[best], None, self.labels)

    @torch.inference_mode()
    def maps(self, batch: list[_Canvas], flip: bool) -> tuple[np.ndarray, np.ndarray]:
        """Heatmaps (B, K, H, W) and tags (B, K, T, H, W) at the input's size; T is 2 with ``flip``, else 1."""
        size = batch[0].size
        heatmaps: Any = None
        tags: Any = None
        for factor in self.scales:
            inner = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
            crops = [crop(c.image, c.matrix(inner, self.aligned)[0], inner) for c in batch]
            heat, tag = self._look(as_tensor(np.stack(crops), self.device), flip)
            heat = _resize(heat, size)
            heatmaps = heat if heatmaps is None else heatmaps.add_(heat)
            if factor == 1:
                b, k, t = tag.shape[:3]
                tags = _resize(tag.flatten(1, 2), size).view(b, k, t, *size)
        return heatmaps.div_(len(self.scales)).cpu().numpy(), tags.cpu().numpy()

    def _look(self, x: torch.Tensor, flip: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Heatmaps (B, K, 2h, 2w) at stride 2, tags (B, K, T, h, w) at stride 4."""
        heat, tags = self._forward(x)
        if not flip:
            return heat, tags[:, :, None]
        order = self.labels.flip_order()
        mirrored_heat, mirrored_tags = (m.flip(3)[:, order] for m in self._forward(x.flip(3)))
        return (heat + mirrored_heat) / 2, torch.stack([tags, mirrored_tags], 2)

    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        coarse, tags, fine = self.engine(x)
        return (fine + _resize(coarse, fine.shape[2:])) / 2, tags


def _resize(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
