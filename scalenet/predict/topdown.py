"""Top-down pose estimation: from person boxes, given or detected, to joints in pixels of the original image.

N people, K joints, (H, W) input size of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..archs.budget import Budget, Limit
from ..archs.tasks import POSE
from ..data.images import ImageLike, as_list, as_tensor, load_image
from ..data.transforms import BoxError, check_boxes, crop, crop_matrices, crop_regions, invert, transform
from ..engines.calibration import CalibrationImages
from ..nn.network import ScaleNet
from ..pose.codec import HeatmapCodec
from ..pose.oks import SURE_THRESHOLD, likely_sigmas, oks_nms, person_scores
from ..runtime.device import Device
from .base import Predictor, knowing
from .detector import Detector, make_detector
from .people import BottomUpDetector, people_boxes
from .results import PoseResult

if TYPE_CHECKING:
    from .bottomup import BottomUpPoseEstimator

FIRST_LOOKS = 2  # chosen on COCO photographs: one finds fewer, a third hardly more
FOUND_THRESHOLD = 0.35  # chosen on COCO photographs, between people found wrongly and people missed


@dataclass
class _Batch:
    """Crops waiting for the network, and the places of their joints."""

    crops: list[np.ndarray] = field(default_factory=list)
    matrices: list[np.ndarray] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)  # (K, 4) views that receive the joints

    def add(self, crop: np.ndarray, matrix: np.ndarray, target: np.ndarray) -> None:
        """Add a crop."""
        self.crops.append(crop)
        self.matrices.append(matrix)
        self.targets.append(target)


@dataclass(frozen=True)
class _People:
    """The people of one image, whose joints are filled in as their batches finish."""

    joints: np.ndarray  # (N, K, 4) x, y, score, how sure
    boxes: np.ndarray  # (N, 5)
    size: tuple[int, int]
    source: str  # of the boxes: "given", "found", "image"


class PoseEstimator(Predictor):
    """Top-down pose estimation: the keypoints of the person in each box, batched over people and images.

    Without boxes, a detector finds people first, by default a bottom-up network. Each of the people that
    one finds runs through the network three times: two passes refine the box, the last one estimates the joints.

    Args:
        name_or_model: a pose network, its registered name, "hf-hub:…", "local-dir:…" or a ``.safetensors`` file.
            A network is copied, see :class:`~scalenet.predict.base.Predictor`.
        device: default: the first available of cuda, mps and cpu.
        batch_size: crops per forward pass.
        engine, dtype, calibration: inference engine and precision, see :class:`~scalenet.predict.base.Predictor`. The
            detector never runs in "int8".
        flip: flip test: average with the mirrored crop (needs labels with ``flip_pairs``).
        decode: "oks", "dark" or "quarter", see :class:`~scalenet.pose.codec.HeatmapCodec`; default: the network's own,
            else "dark".
        detector: what finds people when no boxes are given, see :func:`~scalenet.predict.detector.make_detector`:
            "bottomup" (its network is loaded at first use), "bottomup:NAME" or a bottom-up estimator,
            "torchvision:NAME", a YOLOX ``.onnx`` file, or a function from an RGB (H, W, 3) uint8 image to (N, 4 or 5)
            boxes. None: the whole image is one person.
        input_size: (H, W) of the crops; default: the size in training.
        sigma: of the heatmaps' Gaussians, in heatmap pixels; default by the input size.
        person_threshold: detected people with a lower score are dropped; default 0.35 if scores are expected OKS
            (``decode`` "oks"), else 0. COCO's metrics are measured with 0.
        max_macs, max_latency_ms: see :class:`~scalenet.predict.base.Predictor`.

    Raises:
        ValueError: if it is not a top-down pose network, or the detector is invalid.
    """

    spec = POSE

    def __init__(
        self,
        name_or_model: str | Path | ScaleNet,
        device: Device = None,
        batch_size: int = 32,
        *,
        engine: str = "torch",
        dtype: str | None = None,
        calibration: CalibrationImages | None = None,
        flip: bool = True,
        decode: str | None = None,
        detector: str | Path | Detector | BottomUpPoseEstimator | None = "bottomup",
        input_size: tuple[int, int] | None = None,
        sigma: float = 0.0,
        person_threshold: float | None = None,
        max_macs: Limit | None = None,
        max_latency_ms: Limit | None = None,
    ) -> None:
        budget = Budget.of(max_macs, None, max_latency_ms)
        super().__init__(name_or_model, device, batch_size, engine, dtype, budget, calibration)
        self.flip = flip and bool(self.labels.flip_pairs)
        self.detector = make_detector(detector, self.device, engine, None if dtype == "int8" else dtype)
        self.scored_by_itself = isinstance(self.detector, BottomUpDetector)  # whose scores are no probabilities
        height, width = input_size or self.trained_size
        self.input_size = (height, width)
        sigmas = tuple(likely_sigmas(self.labels).tolist())
        decode = decode or self.labels.decode or "dark"
        self.codec = HeatmapCodec(
            self.input_size, sigma=sigma, convention=self.labels.convention, decode_method=decode, sigmas=sigmas
        )
        if person_threshold is None:
            person_threshold = FOUND_THRESHOLD if decode == "oks" else 0.0
        self.person_threshold = person_threshold

    def __call__(
        self, image: ImageLike | Sequence[ImageLike], boxes: Any = None, flip: bool | None = None
    ) -> PoseResult | list[PoseResult]:
        """Estimate the joints of the people in an image, or in each of a list of images.

        Args:
            image: a path, http(s) URL, bytes, file object, PIL image, RGB uint8 array (H, W, 3), tensor (3, H, W) of
                uint8 or of floats in 0..1; or several: a list, a generator, a (B, 3, H, W) tensor.
            boxes: (N, 4 or 5) x1, y1, x2, y2[, score] in pixels; a list of these for a list of images. None: use the
                detector, or the whole image if there is none.
            flip: override the estimator's ``flip`` for this call.

        Returns:
            A :class:`~scalenet.predict.results.PoseResult`, or a list. People are in the order of the given boxes;
            detected people are sorted by score, with duplicates (OKS above 0.9) removed. It may be empty.

        Raises:
            BoxError: for boxes that are not finite or have no area. Boxes outside the image get scores of 0, as do
                joints outside it.
            OutputError: if the network outputs NaN or infinity.
        """
        images, single = as_list(image)
        if single:
            try:
                return knowing(images, lambda one: self.stream(one, [boxes], flip))[0]
            except BoxError as e:
                raise BoxError(str(e).removeprefix("image 0: ")) from None
        each = [None] * len(images) if boxes is None else list(boxes)
        if len(each) != len(images):
            raise BoxError(f"{len(images)} images need as many sets of boxes, got {len(each)}")
        return knowing(images, lambda several: self.stream(several, each, flip))

    def stream(
        self, images: Iterable[ImageLike], boxes: Iterable[Any] | None = None, flip: bool | None = None
    ) -> Iterator[PoseResult]:
        """Yield results in order, holding at most ``batch_size`` images; people of consecutive images run together.

        Args:
            images, boxes, flip: as in a call, with an iterable of images and one of their boxes.

        Raises:
            BoxError: with the index of the image whose boxes are malformed.
            OutputError: if the network outputs NaN or infinity.
        """
        flip = self._flips(flip)
        batch, waiting = _Batch(), []
        pairs = zip(images, repeat(None)) if boxes is None else zip(images, boxes, strict=True)
        for number, (image, given) in enumerate(pairs):
            pixels = load_image(image)
            try:
                people = self._people(pixels, given)
            except BoxError as e:
                raise BoxError(f"image {number}: {e}") from None
            waiting.append(people)
            ready = 0
            for one, matrix, i in self._crops(pixels, people.boxes):
                batch.add(one, matrix, people.joints[i])
                if len(batch.crops) == self.batch_size:
                    self._flush(batch, flip)
                    batch, ready = _Batch(), len(waiting) - 1
            if not batch.crops or len(waiting) == self.batch_size:
                self._flush(batch, flip)
                batch, ready = _Batch(), len(waiting)
            yield from (self._result(people, self.person_threshold) for people in waiting[:ready])
            del waiting[:ready]
        self._flush(batch, flip)
        yield from (self._result(people, self.person_threshold) for people in waiting)

    def _people(self, image: np.ndarray, given: Any) -> _People:
        """The people to estimate: validated boxes, given, detected, or the whole image."""
        size = image.shape[:2]
        if given is not None:
            rows, source = given, "given"
        elif self.detector is not None:
            rows, source = self.detector(image), "found"
        else:
            rows, source = [[0, 0, size[1], size[0]]], "image"
        boxes = check_boxes(rows.detach().cpu().numpy() if isinstance(rows, torch.Tensor) else rows)
        if source == "found" and self.scored_by_itself and len(boxes):
            boxes = np.vstack([boxes, [0, 0, size[1], size[0], boxes[:, 4].min()]])  # who fills it is found in parts
            for _ in range(FIRST_LOOKS):
                boxes = self._redrawn(image, boxes)
        return self._unseen(boxes, size, source)

    def _unseen(self, boxes: np.ndarray, size: tuple[int, int], source: str) -> _People:
        return _People(np.zeros((len(boxes), self.model.num_classes, 4), np.float32), boxes, size, source)

    def _redrawn(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """(M, 5) boxes around the joints that a first pass, without flip test, finds in (N, 5) boxes."""
        people = self._unseen(boxes, image.shape[:2], "found")
        for start in range(0, len(boxes), self.batch_size):
            batch = _Batch()
            for one, matrix, i in self._crops(image, boxes[start : start + self.batch_size]):
                batch.add(one, matrix, people.joints[start + i])
            self._flush(batch, flip=False)
        return people_boxes(self._result(people, 0.0), image.shape[:2])

    def _crops(self, image: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        matrices = crop_matrices(crop_regions(rows, self.input_size), self.input_size, self.codec.aligned)
        for i, matrix in enumerate(matrices):
            yield crop(image, matrix, self.input_size), matrix, i

    def _heatmaps(self, x: torch.Tensor) -> np.ndarray:
        heatmaps = self.engine(x)[0]
        self._check_finite(heatmaps, "heatmaps")
        return heatmaps.cpu().numpy()

    def _flush(self, batch: _Batch, flip: bool) -> None:
        if not batch.crops:
            return
        x = as_tensor(np.stack(batch.crops), self.device)
        mirrored = self._heatmaps(x.flip(3)) if flip else None
        keypoints, sure = self.codec.decode_sure(self._heatmaps(x), mirrored, self.labels.flip_order())
        keypoints = transform(invert(np.stack(batch.matrices)), keypoints)
        for target, joints, each in zip(batch.targets, keypoints, sure, strict=True):
            target[:, :3], target[:, 3] = joints, each

    def _result(self, people: _People, threshold: float) -> PoseResult:
        keypoints, rows, size = people.joints[..., :3].copy(), people.boxes, people.size
        sure = people.joints[..., 3] if self.codec.decode_method == "oks" else None
        outside = (rows[:, 0] >= size[1]) | (rows[:, 1] >= size[0]) | (rows[:, 2] <= 0) | (rows[:, 3] <= 0)
        keypoints[outside, :, 2] = 0
        found = people.source == "found"
        alone = found and sure is not None and self.scored_by_itself
        scores = person_scores(keypoints, 1.0 if alone else rows[:, 4], sure).astype(
            np.float32
        )  # joints anywhere count
        keypoints[_beyond(keypoints, size), 2] = 0  # after the score, which is of joints wherever they are
        boxes = None if people.source == "image" else rows[:, :4].astype(np.float32)
        if found:
            areas = crop_regions(rows, self.input_size)[:, 2:].prod(1)
            seen = keypoints[..., 2] > SURE_THRESHOLD if alone else None
            # of one person seen twice, the box that shows more of them: a mean alone would prefer the face
            worth = scores if seen is None else scores * seen.sum(-1)
            kept = oks_nms(keypoints, worth, areas, likely_sigmas(self.labels), seen=seen)
            kept = [i for i in sorted(kept, key=lambda i: -scores[i]) if scores[i] >= threshold]
            keypoints, scores, boxes = keypoints[kept], scores[kept], rows[kept, :4].astype(np.float32)
        return PoseResult(keypoints, scores, boxes, self.labels)


def _beyond(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, K) bool: which joints lie outside the (H, W) image."""
    xy = keypoints[..., :2]
    return np.any((xy < -0.5) | (xy > np.array(size[::-1]) - 0.5), axis=-1)
