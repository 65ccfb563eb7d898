"""How sure a segmentation network is, and of what it should not be: ``python -m benchmarks.confidence --data DATA``.

Fits the temperature of its probabilities on CamVid val, and chooses the mean confidence below which an image is called
unlike what was learned, CamVid val against the photographs of coco_mini. Prints calibration errors and error rates, the
latter also for a threshold chosen on every second image and tried on the others. What it finds is
:data:`scalenet.predict.confidence.KNOWN`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from scalenet.data.segmentation import find_pairs, read_indices
from scalenet.predict.segmentation import Segmenter

TEMPERATURES = np.round(np.arange(0.6, 4.01, 0.05), 2)
BINS = 15


def logits_of(segmenter: Segmenter, images: list[Path]) -> Iterator[torch.Tensor]:
    """(C, h, w) stride-4 logits of each image, as the predictor sees it."""
    for path in images:
        fitted, _, _ = segmenter._fit(path)
        yield segmenter.logits(fitted[None])[0]


def labels_at(path: Path, size: tuple[int, int]) -> torch.Tensor:
    """(h, w) label indices, the nearest ones."""
    return torch.from_numpy(cv2.resize(read_indices(path), size[::-1], interpolation=cv2.INTER_NEAREST)).long()


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over 15 bins of equal width."""
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[which == b].mean() - right[which == b].mean()) * (which == b).sum() for b in np.unique(which)
    ]
    return float(sum(gaps) / len(confidence))


def best_threshold(known: np.ndarray, unlike: np.ndarray) -> float:
    """Between two means, where the sum of both error rates is least."""
    values = np.sort(np.concatenate([known, unlike]))
    cuts = (values[1:] + values[:-1]) / 2
    errors = [(known < cut).mean() + (unlike >= cut).mean() for cut in cuts]
    least = np.flatnonzero(np.isclose(errors, min(errors)))
    return float(cuts[least[len(least) // 2]])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds camvid and coco_mini")
    parser.add_argument("--model", default="scalenet_s0")
    parser.add_argument("--limit", type=int, help="only the first images of each")
    args = parser.parse_args()
    segmenter = Segmenter(args.model, "cpu")
    pairs = find_pairs(args.data / "camvid", "val")[: args.limit]
    streets, pixels, truths = [], [], []
    for logits, (_, file) in zip(logits_of(segmenter, [image for image, _ in pairs]), pairs, strict=True):
        truth = labels_at(file, logits.shape[1:])
        valid = truth < len(logits)
        streets.append(logits)
        pixels.append(logits[:, valid].T)
        truths.append(truth[valid])
    x, y = torch.cat(pixels), torch.cat(truths)
    losses = [torch.nn.functional.cross_entropy(x / float(t), y).item() for t in TEMPERATURES]
    temperature = float(TEMPERATURES[int(np.argmin(losses))])
    for t in (1.0, temperature):
        confidence, guess = (x / t).softmax(1).max(1)
        error = calibration_error(confidence.numpy(), (guess == y).numpy())
        print(f"temperature {t:.2f}: calibration error {error:.4f}, mean confidence {confidence.mean():.4f}")
    photographs = sorted((args.data / "coco_mini" / "train2017").glob("*.jpg"))[: args.limit]

    def sure(logits: torch.Tensor) -> float:
        return (logits / temperature).softmax(0).amax(0).mean().item()

    known = np.array([sure(logits) for logits in streets])
    unlike = np.array([sure(logits) for logits in logits_of(segmenter, photographs)])
    threshold = best_threshold(known, unlike)
    print(f"mean confidence: CamVid val {known.min():.3f}..{known.max():.3f}, median {np.median(known):.3f}; "
          f"photographs {unlike.min():.3f}..{unlike.max():.3f}, median {np.median(unlike):.3f}")  # fmt: skip
    print(f"threshold {threshold:.3f}: {(known < threshold).mean():.3f} of {len(known)} streets called unlike, "
          f"{(unlike >= threshold).mean():.3f} of {len(unlike)} photographs not")  # fmt: skip
    half = best_threshold(known[::2], unlike[::2])
    print(f"chosen on every second image, {half:.3f}: of the others {(known[1::2] < half).mean():.3f} of the streets "
          f"called unlike, {(unlike[1::2] >= half).mean():.3f} of the photographs not")  # fmt: skip


if __name__ == "__main__":
    main()
