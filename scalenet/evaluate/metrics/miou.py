"""Mean intersection over union, counted over a whole split at full size."""

from __future__ import annotations

import numpy as np


class ConfusionMatrix:
    """``counts`` (C, C) of pixels by true class (row) and predicted class (column); labels >= C are ignored."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, prediction: np.ndarray, label: np.ndarray) -> None:
        """Add one image.

        Args:
            prediction, label: (H, W) class indices.

        Raises:
            ValueError: if their sizes differ.
        """
        if prediction.shape != label.shape:
            raise ValueError(f"prediction {prediction.shape} and label {label.shape} differ in size")
        n = len(self.counts)
        valid = label < n
        index = label[valid].astype(np.int64) * n + np.minimum(prediction[valid], n - 1)
        self.counts += np.bincount(index, minlength=n * n).reshape(n, n)

    def iou(self) -> np.ndarray:
        """(C,) intersection over union, 0..1; NaN for a class that is neither labelled nor predicted."""
        hit = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hit
        return np.where(union > 0, hit / np.maximum(union, 1), np.nan)

    def miou(self) -> float:
        """Mean IoU over the classes that are labelled or predicted; NaN before any is."""
        return float(np.nanmean(self.iou()))

    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels whose class is right, 0..1."""
        return float(np.diag(self.counts).sum() / max(1, self.counts.sum()))
