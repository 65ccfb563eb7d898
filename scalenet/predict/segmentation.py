"""Semantic segmentation: images to index masks.

B images of one size, C classes, (H, W) an image's size, (h, w) = (ceil(H/4), ceil(W/4)) the stride-4 grid on which
logits are averaged and blended before one upsampling to the original pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..archs.budget import Budget, Limit
from ..archs.tasks import SEGMENTATION
from ..data.images import ImageLike, as_tensor, load_image, mirrored, pad_to_multiple
from ..data.labels import UPSAMPLED
from ..data.sizes import COARSEST, STRIDE, Size, reduced, scaled
from ..engines.calibration import CalibrationImages
from ..nn.network import ScaleNet
from ..runtime.device import Device
from .base import Predictor
from .confidence import UNKNOWN, calibration_of
from .results import SegmentationResult

BAND_VALUES = 1 << 24  # logits that are held at full size at a time
MIN_WINDOW = 32
Fitted = tuple[np.ndarray, Size, Size]  # an image as the network sees it, the size its logits cover, and its own


class Segmenter(Predictor):
    """Semantic segmentation: a class for every pixel.

    Networks accept any size, but work best when objects have the size they had in training. An image with more pixels
    than the network's input is therefore reduced to that many, keeping its aspect ratio, and the logits are resized to
    the original image. ``resize=False`` and ``window=`` use the full resolution.

    The input is padded by reflection at the bottom and right to multiples of 32, and the logits are cropped: the grids
    of all branches are then aligned, as in training crops. On CamVid's 360 rows this is worth 1.5 mIoU.

    Args:
        name_or_model: a segmentation network of 2 to 256 classes, its registered name, "hf-hub:…", "local-dir:…" or a
            ``.safetensors`` file. A network is copied, see :class:`~scalenet.predict.base.Predictor`.
        device: default: the first available of cuda, mps and cpu.
        batch_size: images of one size per forward pass.
        engine, dtype, calibration: inference engine and precision, see :class:`~scalenet.predict.base.Predictor`.
        flip: flip test: average the logits with those of the mirrored image.
        scales: multi-scale test: average the logits over these factors of the image's size.
        window: (h, w), rounded up to multiples of 4: sliding-window inference at full resolution, with logits blended
            where windows overlap.
        overlap: fraction of a window that the next one overlaps, from 0 to below 1.
        resize: reduce images larger than the network's input.
        min_confidence: pixels whose class has a lower probability, 0..1, are marked unknown: 255 in the mask.
        upsample: "logits" resizes the logits to the image before the argmax; "labels" takes the argmax at stride 4 and
            resizes that, which is faster and gives coarser borders.
        probabilities: keep the (C, h, w) logits of each result, for its ``probabilities``.
        max_macs, max_latency_ms: see :class:`~scalenet.predict.base.Predictor`.

    Raises:
        ValueError: if it is not a segmentation network, has only one class (whose argmax is constant), or an option is
            out of range.
    """

    spec = SEGMENTATION

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
        window: Size | None = None,
        overlap: float = 0.25,
        resize: bool = True,
        min_confidence: float = 0.0,
        upsample: str = "logits",
        probabilities: bool = False,
        max_macs: Limit | None = None,
        max_latency_ms: Limit | None = None,
    ) -> None:
        _check_options(scales, window, overlap)
        if upsample not in UPSAMPLED:
            raise ValueError(f"upsample must be one of {', '.join(UPSAMPLED)}, got {upsample!r}")
        if not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence must be from 0 to 1, got {min_confidence}")
        self.min_confidence, self.upsample, self.probabilities = min_confidence, upsample, probabilities
        budget = Budget.of(max_macs, None, max_latency_ms)
        super().__init__(name_or_model, device, batch_size, engine, dtype, budget, calibration)
        self.input_size = self.trained_size
        self.flip, self.scales = flip, tuple(scales)
        self.window = window and tuple(STRIDE * n for n in _stride4(window))
        self.overlap, self.resize = overlap, resize and window is None

    def _check(self, model: ScaleNet) -> None:
        super()._check(model)
        if not 2 <= model.num_classes <= 256:
            background = "; one class and its background are two" if model.num_classes == 1 else ""
            raise ValueError(f"Segmenter needs a network of 2 to 256 classes, got {model.num_classes}{background}")
        if self.min_confidence and model.num_classes > UNKNOWN:
            raise ValueError(f"min_confidence marks pixels {UNKNOWN}, which is a class of this network's 256")
        self.calibration = calibration_of(model)

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> SegmentationResult | list[SegmentationResult]:
        """Segment an image, or each of a list of images.

        Args:
            images: a path, http(s) URL, bytes, file object, PIL image, RGB uint8 array (H, W, 3), tensor (3, H, W) of
                uint8 or of floats in 0..1; or several: a list, a generator, a (B, 3, H, W) tensor.

        Returns:
            A :class:`~scalenet.predict.results.SegmentationResult`, or a list of them.

        Raises:
            OutputError: if the network outputs NaN or infinity.
        """
        return self._results(images, self.stream)

    def stream(self, images: Iterable[ImageLike]) -> Iterator[SegmentationResult]:
        """Yield the results in order; up to ``batch_size`` consecutive images of one size run together.

        With a ``batch_size`` of 2 or more, the next images are read while results are being consumed.

        Raises:
            OutputError: if the network outputs NaN or infinity.
        """
        for group, logits in self._batches(map(self._fit, images), lambda item: item[0].shape, self._run):
            for one, (_, covered, (h, w)) in zip(logits, group, strict=True):
                self._check_finite(one, "logits")
                mask = np.ascontiguousarray(index_mask(one, covered, self.upsample)[:h, :w])
                yield self._result(one, mask, covered)

    def _result(self, logits: torch.Tensor, mask: np.ndarray, covered: Size) -> SegmentationResult:
        """Add confidence, mark unknown pixels, and note an image that is unlike the training images."""
        scaled = logits.float() / self.calibration.temperature
        sure = scaled.softmax(0).amax(0).cpu().numpy()
        kept = scaled.cpu().numpy() if self.probabilities else None
        note = self.calibration.note(float(sure.mean()))
        result = SegmentationResult(mask, self.labels, None, sure, covered, note, kept)
        if self.min_confidence:
            mask[result.confidence < self.min_confidence] = UNKNOWN
        return result

    def _run(self, group: list[Fitted]) -> torch.Tensor:
        return self.logits(np.stack([image for image, *_ in group]))

    def _fit(self, image: ImageLike) -> Fitted:
        pixels = load_image(image)
        h, w = pixels.shape[:2]
        seen = reduced(pixels, self.input_size) if self.resize else pixels
        if seen is pixels:
            padded = pad_to_multiple(pixels, STRIDE)
            return padded, padded.shape[:2], (h, w)
        return seen, (h, w), (h, w)

    @torch.inference_mode()
    def logits(self, images: np.ndarray) -> torch.Tensor:
        """(B, C, h, w) logits at stride 4 of (B, H, W, 3) RGB uint8 images, without resizing them.

        They are averaged over flips and scales, and blended over windows.
        """
        if self.window is None:
            return self._average(images)
        size = _stride4(images.shape[1:3])
        total = torch.zeros(len(images), self.model.num_classes, *size, device=self.device)
        weight = torch.zeros(size, device=self.device)
        starts = [window_starts(n, w, self.overlap) for n, w in zip(images.shape[1:3], self.window, strict=True)]
        for y in starts[0]:
            for x in starts[1]:
                part = self._average(np.ascontiguousarray(images[:, y : y + self.window[0], x : x + self.window[1]]))
                rows, columns = (slice(s // 4, s // 4 + n) for s, n in zip((y, x), part.shape[-2:], strict=True))
                ramp = _ramp(part.shape[-2:]).to(self.device)
                total[..., rows, columns] += part * ramp
                weight[rows, columns] += ramp
        return total / weight

    def _average(self, images: np.ndarray) -> torch.Tensor:
        x = as_tensor(pad_to_multiple(images, STRIDE), self.device)
        base = _stride4(x.shape[-2:])
        parts: list[torch.Tensor] = []
        for scale in self.scales:
            size = scaled(x.shape[-2:], scale)
            y = x if scale == 1 else F.interpolate(x.float(), size=size, mode="bilinear", antialias=scale < 1)
            parts += [_resize(part, base) for part in self._sides(y)]
        return sum(parts[1:], parts[0]) / len(parts)

    def _sides(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        yield self._forward(x)
        if self.flip:
            yield self._forward(x.flip(3)).flip(3)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = x.shape[-2:]
        if h % COARSEST or w % COARSEST:
            rows, columns = (torch.from_numpy(mirrored(n, COARSEST)).to(x.device) for n in (h, w))
            x = x[:, :, rows][..., columns].contiguous(memory_format=torch.channels_last)
        return self.engine(x)[0][..., : h // STRIDE, : w // STRIDE]


def _check_options(scales: Sequence[float], window: Size | None, overlap: float) -> None:
    if not scales or not all(0.1 <= s <= 4 for s in scales):
        raise ValueError(f"scales must be one or more numbers from 0.1 to 4, got {scales}")
    if window is not None and (len(window) != 2 or min(window) < MIN_WINDOW):
        raise ValueError(f"window must be (height, width) of at least {MIN_WINDOW} pixels, got {window}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be from 0 to below 1, got {overlap}")


def _stride4(size: Sequence[int]) -> Size:
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def _resize(x: torch.Tensor, size: Size) -> torch.Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _ramp(size: Sequence[int]) -> torch.Tensor:
    """(h, w) blending weight, highest in the middle and above 0 everywhere."""
    y, x = (1 - ((2 * torch.arange(n) + 1) / n - 1).abs() for n in size)
    return y[:, None] * x[None]


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of the windows along one side: multiples of 4 (stride of the logits); the last reaches the end."""
    if length <= window:
        return [0]
    step = max(4, int(window * (1 - overlap)) // 4 * 4)
    last = -(-(length - window) // 4) * 4
    return [*range(0, last, step), last]


def index_mask(logits: torch.Tensor, size: Size, upsample: str = "logits") -> np.ndarray:
    """(H, W) uint8 class indices: argmax of (C, h, w) logits upsampled bilinearly to ``size``, the first on a tie; for
    ``upsample="labels"``, the argmax of the nearest logits.

    Memory is bounded: classes are processed one by one on a CPU, large images in bands on other devices.
    """
    if upsample == "labels":
        labels = logits.argmax(0).to(torch.uint8).cpu().numpy()
        return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return _by_class(logits.float().numpy(), size) if logits.device.type == "cpu" else _by_bands(logits, size)


def _by_class(logits: np.ndarray, size: Size) -> np.ndarray:
    best = cv2.resize(logits[0], size[::-1], interpolation=cv2.INTER_LINEAR)
    mask, one, larger = np.zeros(size, np.uint8), np.empty_like(best), np.empty(size, np.uint8)
    for c in range(1, len(logits)):
        cv2.resize(logits[c], size[::-1], dst=one, interpolation=cv2.INTER_LINEAR)
        cv2.compare(one, best, cv2.CMP_GT, dst=larger)  # 255 or 0
        larger &= np.uint8(c)
        np.maximum(mask, larger, out=mask)  # c is larger than all before
        np.maximum(best, one, out=best)
    return mask


def _by_bands(logits: torch.Tensor, size: Size) -> np.ndarray:
    classes, height = logits.shape[:2]
    rows = max(1, BAND_VALUES // (classes * size[1]))
    mask = np.empty(size, np.uint8)
    for start in range(0, size[0], rows):
        y = torch.arange(start, min(size[0], start + rows), device=logits.device)
        source = ((y + 0.5) * (height / size[0]) - 0.5).clamp(0, height - 1)  # align_corners=False
        low = source.floor().long()
        part = (source - low)[:, None]
        band = logits[:, low] * (1 - part) + logits[:, (low + 1).clamp(max=height - 1)] * part
        band = _resize(band[None], (len(y), size[1]))[0]
        mask[start : start + len(y)] = band.argmax(0).to(torch.uint8).cpu().numpy()
    return mask
