"""Small real data in CamVid's form, made from photographs that ship in scikit-learn (crops, with colour classes)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def photographs() -> list[np.ndarray]:
    """RGB uint8 photographs, 427x640."""
    from sklearn.datasets import load_sample_image

    return [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]


def camvid_form(root: Path, train: int = 6, val: int = 3, size: tuple[int, int] = (64, 80), classes: int = 3) -> Path:
    """images/{train,val}, labels/{train,val}: the class of a pixel is its brightness, the top row is unlabelled."""
    rng = np.random.default_rng(0)
    images = photographs()
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            whole = images[i % 2]
            y, x = (int(rng.integers(0, whole.shape[a] - 2 * size[a])) for a in (0, 1))
            crop = cv2.resize(whole[y : y + 2 * size[0], x : x + 2 * size[1]], size[::-1], interpolation=cv2.INTER_AREA)
            label = np.minimum(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) // (256 // classes), classes - 1)
            label[0] = 255
            cv2.imwrite(str(root / "images" / split / f"p{i}.jpg"), crop[:, :, ::-1])
            cv2.imwrite(str(root / "labels" / split / f"p{i}.png"), label)
    return root
