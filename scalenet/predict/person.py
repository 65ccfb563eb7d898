"""One person of a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Person:
    """A person of a :class:`PoseResult`; ``person["left_wrist"]`` gives that joint's x, y, score.

    Args:
        keypoints: (K, 3) x, y, score.
        score: the person's score.
        box: (4,) x1, y1, x2, y2, or None.
        id: track id, or None.
        names: names of the K joints.
    """

    keypoints: np.ndarray
    score: float
    box: np.ndarray | None
    id: int | None
    names: tuple[str, ...]

    def __getitem__(self, joint: str) -> np.ndarray:
        """(3,) x, y, score of a joint by name; KeyError for another name."""
        if joint not in self.names:
            raise KeyError(f"no joint {joint!r}; there are {', '.join(self.names)}")
        return self.keypoints[self.names.index(joint)]
