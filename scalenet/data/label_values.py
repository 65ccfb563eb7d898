"""Which values the labels of a split hold: those that are no class are named, and classes that occur nowhere."""

from __future__ import annotations

from collections import Counter

import numpy as np

from . import IGNORE, warn

FEWEST = 0.0005  # of all pixels, that are named
AT_MOST = 6  # values that are named


class LabelValues:
    """Counts the values of label images, for :meth:`say`."""

    def __init__(self, classes: int) -> None:
        self.classes, self.files = classes, 0
        self.counts: Counter[int] = Counter()

    def update(self, indices: np.ndarray) -> None:
        """Add one label image: whole numbers (H, W)."""
        self.files += 1
        if indices.dtype == np.uint8:
            counts = np.bincount(indices.ravel(), minlength=256)
            self.counts.update({int(v): int(counts[v]) for v in np.flatnonzero(counts)})
        else:
            values, numbers = np.unique(indices, return_counts=True)
            self.counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))

    def strange(self) -> dict[int, float]:
        """Values that are neither a class nor 255, and their share of the pixels, the most frequent first.

        The first index after the classes is unlabelled by custom (CamVid's 11), unless a class is absent: then the
        indices may begin with 1.
        """
        total = max(1, self.counts.total())
        usual = range(self.classes if self.absent() else self.classes + 1)
        shares = {v: n / total for v, n in self.counts.most_common() if v not in usual and v != IGNORE}
        return {v: share for v, share in shares.items() if share >= FEWEST}

    def absent(self) -> list[int]:
        """Classes without any pixel."""
        return [c for c in range(self.classes) if not self.counts[c]]

    def say(self, what: str) -> None:
        """Warn of strange values and absent classes of ``what``, the split."""
        strange, absent = self.strange(), self.absent()
        if strange:
            named = ", ".join(f"{v} ({100 * share:.1f} %)" for v, share in list(strange.items())[:AT_MOST])
            more = " …" if len(strange) > AT_MOST else ""
            warn(f"{what}: values {named}{more} are none of the classes 0 to {self.classes - 1} and do not count")
        if absent:
            named = ", ".join(map(str, absent[:AT_MOST])) + (" …" if len(absent) > AT_MOST else "")
            ignored = self.counts[IGNORE] / max(1, self.counts.total())
            unlabelled = f"; {100 * ignored:.1f} % are {IGNORE}, which does not count" if ignored else ""
            warn(f"{what}: class {named} occurs in none of the {self.files} labels looked at{unlabelled}")
