"""Encoding and decoding of heatmaps in one object, so that their pixel conventions cannot diverge.

N people, K joints, (H, W) network input, (h, w) heatmaps. Keypoints are (N, K, 3): x, y in input pixels, where integer
coordinates are pixel centres, and a visibility (encode) or score (decode). Conventions: "authors" puts input x at
x / stride, rounds targets to whole heatmap pixels and moves the mirrored heatmaps of a flip test by one pixel;
"aligned" puts it at (x + 0.5) / stride - 0.5, rounds nothing and needs no move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..data.labels import CONVENTIONS, DECODERS
from . import expected_oks

CHUNK = 8  # people a time, so that their heatmaps stay in the processor's cache
FLOOR = 1e-10  # the least value DARK takes a logarithm of


def default_sigma(input_size: tuple[int, int]) -> float:
    """The paper's sigma in heatmap pixels: 2 at 256x192, 3 at 384x288, never below 2."""
    return max(2.0, input_size[0] / 128)


@dataclass(frozen=True)
class HeatmapCodec:
    """Encodes joints as Gaussian heatmaps, and decodes heatmaps to joints.

    Args:
        input_size: (H, W) of the network's input.
        heatmap_size: (h, w); 0, the default, is a quarter, rounded up.
        sigma: of the Gaussians in heatmap pixels; default :func:`default_sigma`.
        convention: "authors" or "aligned" (see the module).
        decode_method: "quarter" (a quarter pixel towards the higher neighbour, the authors' way) or "dark"
            (distribution-aware: the maximum of a Gaussian fitted by a Taylor step in the logarithm), or "oks" (where
            the expected similarity is highest, see :mod:`scalenet.pose.expected_oks`).
        sigmas: (K,) OKS sigmas, required by "oks".

    Raises:
        ValueError: for an unknown convention or decode method, "oks" without sigmas, or sizes below one pixel.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int] = (0, 0)
    sigma: float = 0.0
    convention: str = "authors"
    decode_method: str = "dark"
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.convention, CONVENTIONS, "convention"),
            (self.decode_method, DECODERS, "decode"),
        ):
            if value not in known:
                raise ValueError(f"{what} must be one of {', '.join(known)}, got {value!r}")
        if self.decode_method == "oks" and not self.sigmas:
            raise ValueError("decode oks needs the sigmas of the joints")
        size = tuple(given or -(-s // 4) for given, s in zip(self.heatmap_size, self.input_size, strict=True))
        if min(*self.input_size, *size) < 1:
            raise ValueError(f"sizes must be at least one pixel, got {self.input_size} and {size}")
        object.__setattr__(self, "heatmap_size", size)
        object.__setattr__(self, "sigma", self.sigma or default_sigma(self.input_size))

    @property
    def aligned(self) -> bool:
        """Whether the "aligned" convention is used."""
        return self.convention == "aligned"

    @property
    def stride(self) -> np.ndarray:
        """(2,) input pixels per heatmap pixel, in x and y."""
        return np.divide(self.input_size, self.heatmap_size)[::-1]

    def to_heatmap(self, xy: np.ndarray) -> np.ndarray:
        """(…, 2) input pixels to heatmap pixels, not rounded."""
        half = 0.5 * self.aligned
        return (xy + half) / self.stride - half

    def to_input(self, xy: np.ndarray) -> np.ndarray:
        """(…, 2) heatmap pixels to input pixels."""
        half = 0.5 * self.aligned
        return (xy + half) * self.stride - half

    # -- targets -------------------------------------------------------------------------------------------
    def encode(self, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gaussian heatmaps with peak 1, truncated at three sigma.

        Args:
            keypoints: (N, K, 3) or (K, 3); a joint counts where its visibility is above 0.

        Returns:
            heatmaps (N, K, h, w) and weights (N, K) float32, without N for one person. A joint that is not visible,
            or whose Gaussian lies outside, has weight 0 and an empty heatmap.
        """
        keypoints = np.asarray(keypoints, np.float64)
        (h, w), reach = self.heatmap_size, 3 * self.sigma
        centre = self.to_heatmap(keypoints[..., :2])
        if not self.aligned:
            centre = np.floor(centre + 0.5)
        inside = ((centre >= -reach) & (centre <= np.array([w, h]) - 1 + reach)).all(-1)
        weights = ((keypoints[..., 2] > 0) & inside).astype(np.float32)
        centre = np.where(weights[..., None] > 0, centre, 0)
        columns = self._gaussian(np.arange(w) - centre[..., :1], reach)
        rows = self._gaussian(np.arange(h) - centre[..., 1:], reach) * weights[..., None]
        return rows[..., :, None] * columns[..., None, :], weights

    def _gaussian(self, distance: np.ndarray, reach: float) -> np.ndarray:
        value = np.exp(distance**2 / (-2 * self.sigma**2))
        return np.where(np.abs(distance) <= reach, value, 0).astype(np.float32)

    # -- decoding ------------------------------------------------------------------------------------------
    def merge_flip(self, heatmaps: np.ndarray, mirrored: np.ndarray, order: Sequence[int]) -> np.ndarray:
        """Mean of (N, K, h, w) heatmaps and those of the mirrored image, mirrored back.

        Args:
            order: joint order in a mirrored image (:meth:`scalenet.data.labels.Labels.flip_order`).
        """
        back = mirrored.take(order, 1)[..., ::-1]
        merged = np.empty(heatmaps.shape, np.float32)
        if self.aligned:
            np.add(heatmaps, back, out=merged)
        else:
            np.add(heatmaps[..., 1:], back[..., :-1], out=merged[..., 1:])
            np.add(heatmaps[..., 0], back[..., 0], out=merged[..., 0])
        merged *= 0.5
        return merged

    def decode(self, heatmaps: np.ndarray, mirrored: np.ndarray | None = None, order: Sequence[int] = ()) -> np.ndarray:
        """Decode (N, K, h, w) heatmaps to (N, K, 3): x, y in input pixels and the maximum of the heatmap.

        Args:
            mirrored, order: heatmaps of the mirrored image, merged first; see :meth:`merge_flip`.
        """
        return self.decode_sure(heatmaps, mirrored, order)[0]

    def decode_sure(
        self, heatmaps: np.ndarray, mirrored: np.ndarray | None = None, order: Sequence[int] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`decode`, and each joint's confidence (N, K): its expected OKS, or the heatmap's value."""
        parts = [slice(start, start + CHUNK) for start in range(0, max(1, len(heatmaps)), CHUNK)]
        if mirrored is not None:
            found = [self._decode(self.merge_flip(heatmaps[p], mirrored[p], order)) for p in parts]
        else:
            found = [self._decode(heatmaps[p]) for p in parts]
        joints, sure = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return joints, sure

    def _decode(self, heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heatmaps = np.ascontiguousarray(heatmaps, np.float32)
        if self.decode_method == "oks" and len(heatmaps):
            places, sure = expected_oks.best_points(heatmaps, self.sigmas)
            score = heatmaps.max((2, 3))
            return np.concatenate([self.to_input(places), score[..., None]], 2), sure
        n, k, h, w = heatmaps.shape
        flat = heatmaps.reshape(n * k, h, w)
        index = flat.reshape(n * k, h * w).argmax(1) if n * k else np.zeros(0, int)
        y, x = index // w, index % w
        score = flat[np.arange(n * k), y, x]
        refine = self._quarter if self.decode_method == "quarter" else self._dark
        centre = np.stack([x, y], 1)
        xy = self.to_input(centre + refine(flat, x, y))
        return np.concatenate([xy, score[:, None]], 1).reshape(n, k, 3), score.reshape(n, k)

    @staticmethod
    def _quarter(maps: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(M, 2) quarter steps towards the higher neighbour; none next to the border."""
        h, w = maps.shape[1:]
        inner = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
        m = np.flatnonzero(inner)
        offset = np.zeros((len(maps), 2))
        cx, cy = x[m], y[m]
        offset[m, 0] = 0.25 * np.sign(maps[m, cy, cx + 1] - maps[m, cy, cx - 1])
        offset[m, 1] = 0.25 * np.sign(maps[m, cy + 1, cx] - maps[m, cy - 1, cx])
        return offset

    def _dark(self, maps: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(M, 2) steps to the fitted maximum, at most one pixel; none next to the border.

        Only the 5 x 5 smoothed values around each maximum are needed, so only they are made.
        """
        h, w = maps.shape[1:]
        m = np.flatnonzero((x > 1) & (x < w - 2) & (y > 1) & (y < h - 2))
        smooth = np.log(np.maximum(self._smooth_windows(maps, m, x[m], y[m]), FLOOR))
        gx = 0.5 * (smooth[:, 2, 3] - smooth[:, 2, 1])
        gy = 0.5 * (smooth[:, 3, 2] - smooth[:, 1, 2])
        xx = 0.25 * (smooth[:, 2, 4] - 2 * smooth[:, 2, 2] + smooth[:, 2, 0])
        yy = 0.25 * (smooth[:, 4, 2] - 2 * smooth[:, 2, 2] + smooth[:, 0, 2])
        xy = 0.25 * (smooth[:, 3, 3] - smooth[:, 1, 3] - smooth[:, 3, 1] + smooth[:, 1, 1])
        determinant = xx * yy - xy * xy
        peak = (determinant > 1e-12) & (xx < 0)  # elsewhere the fit has no maximum
        safe = np.where(peak, determinant, 1)
        step = np.stack([(xy * gy - yy * gx) / safe, (xy * gx - xx * gy) / safe], 1)
        offset = np.zeros((len(maps), 2))
        offset[m] = np.clip(np.where(peak[:, None], step, 0), -1, 1)
        return offset

    def _smooth_windows(self, maps: np.ndarray, m: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(M, 5, 5) windows around (x, y) of the maps ``m`` smoothed by a Gaussian; outside a map is 0."""
        (h, w), radius = maps.shape[1:], int(np.ceil(2.5 * self.sigma))
        kernel = cv2.getGaussianKernel(2 * radius + 1, 0, cv2.CV_32F)[:, 0]
        band = np.stack([np.pad(kernel, (i, 4 - i)) for i in range(5)])  # (5, 2r + 5)
        reach = np.arange(-radius - 2, radius + 3)
        rows, columns = y[:, None] + reach, x[:, None] + reach
        inside_y = ((rows >= 0) & (rows < h)).astype(np.float32)
        inside_x = ((columns >= 0) & (columns < w)).astype(np.float32)
        start = (m[:, None] * h + rows.clip(0, h - 1)) * w
        windows = maps.reshape(-1).take(start[:, :, None] + columns.clip(0, w - 1)[:, None])
        return (band * inside_y[:, None]) @ windows @ (band * inside_x[:, None]).transpose(0, 2, 1)
