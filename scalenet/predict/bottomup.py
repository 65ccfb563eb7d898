"""Bottom-up pose estimation: everyone in an image at once, without boxes.

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

PERSON_THRESHOLD = 0.3  # on Stanford 40 val nobody right is below; 4 false people in 200 images without any
TAG_THRESHOLD, OWN_TAG_THRESHOLD = 1.0, 0.6  # the second, and NEARBY, chosen on composed crowds of val
NEARBY = 2.5


@dataclass(frozen=True)
class _Canvas:
    """An image, and the region of it that the network's input covers, borders included."""

    image: np.ndarray
    size: tuple[int, int]

    def matrix(self, size: tuple[int, int], aligned: bool) -> np.ndarray:
        """(1, 2, 3) affine matrix from image to input: centred, as large as fits, with black borders."""
        h, w = self.image.shape[:2]
        scale = min(self.size[0] / h, self.size[1] / w)
        region = np.array([[w / 2, h / 2, self.size[1] / scale, self.size[0] / scale]])
        return crop_matrices(region, size, aligned)


class BottomUpPoseEstimator(Predictor):
    """Bottom-up pose estimation: everyone's keypoints in one forward pass, grouped by associative embedding.

    Args:
        name_or_model: a bottom-up network, its registered name, "hf-hub:…", "local-dir:…" or a ``.safetensors`` file.
            A network is copied, see :class:`~scalenet.predict.base.Predictor`.
        device: default: the first available of cuda, mps and cpu.
        batch_size: images of one input size per forward pass.
        engine, dtype, calibration: inference engine and precision, see :class:`~scalenet.predict.base.Predictor`.
        flip: flip test (twice the time): heatmaps are averaged, tags of both images are used.
        scales: multi-scale test, factors of the input size; must include 1, whose tags are used.
        input_size: shorter side of the input in pixels; default: that in training.
        max_people, detection_threshold, tag_threshold: see :func:`~scalenet.pose.grouping.group_keypoints`. The last
            defaults to 1, as in HigherHRNet, and to 0.6 for networks of the "aligned" convention, whose tags are
            closer together, and whose people are told apart by place as well (``nearby`` 2.5).
        person_threshold: people with a lower score are dropped; 0 keeps all, as COCO's metrics are measured.
        max_macs, max_latency_ms: see :class:`~scalenet.predict.base.Predictor`.

    Raises:
        ValueError: if it is not a bottom-up network, or a setting is out of range.
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
            "nearby": NEARBY if self.aligned else None,
        }  # fmt: skip

    def __call__(
        self, image: ImageLike | Sequence[ImageLike], flip: bool | None = None
    ) -> PoseResult | list[PoseResult]:
        """Estimate everyone's joints in an image, or in each of a list of images.

        Args:
            image: a path, http(s) URL, bytes, file object, PIL image, RGB uint8 array (H, W, 3), tensor (3, H, W) of
                uint8 or of floats in 0..1; or several: a list, a generator, a (B, 3, H, W) tensor.
            flip: override the estimator's ``flip`` for this call.

        Returns:
            A :class:`~scalenet.predict.results.PoseResult` sorted by score, or a list of them.

        Raises:
            GroupingError: if the network outputs NaN or infinity.
        """
        return self._results(image, partial(self.stream, flip=flip))

    def stream(self, images: Iterable[ImageLike], flip: bool | None = None) -> Iterator[PoseResult]:
        """Yield the results in order; up to ``batch_size`` consecutive images of one input size run together.

        With a ``batch_size`` of 2 or more, the next images are read while others are grouped and consumed.

        Raises:
            GroupingError: if the network outputs NaN or infinity.
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
        """Heatmaps (B, K, H, W) and tags (B, K, T, H, W) at input resolution; T is 2 with ``flip``, else 1."""
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
