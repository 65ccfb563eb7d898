"""Labels of the data sets, as data: classes and colours; joints, flip pairs, skeletons and OKS sigmas.

Indices start at 0. ``Labels`` are stored with the weights (in ``model_args`` of a Hub ``config.json`` and in the
metadata of a safetensors file), so that any network can name and draw its own classes or joints.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

Colour = tuple[int, int, int]
CONVENTIONS = ("authors", "aligned")
DECODERS = ("oks", "dark", "quarter")
UPSAMPLED = ("logits", "labels")  # what is resized to an image's pixels: scores of classes, or classes


class LabelsError(ValueError):
    """Labels that are malformed or do not fit a network."""


def palette(n: int) -> tuple[Colour, ...]:
    """``n`` distinct RGB colours."""
    hues = [(i * 0.61803398875) % 1 for i in range(n)]
    values = [(0.95, 0.75, 0.6)[i % 3] for i in range(n)]
    rgb = (colorsys.hsv_to_rgb(h, 0.65, v) for h, v in zip(hues, values, strict=True))
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in rgb)


IN_FILES = {"flip_pairs": "partners"}  # names of fields in weight files, where they are others
OF_FILES = {name: field for field, name in IN_FILES.items()}


@dataclass(frozen=True)
class Labels:
    """Names and colours of a network's outputs.

    Args:
        dataset: the data set's name.
        names: classes or joints, in the order of the outputs.
        colours: RGB 0..255 per name.
        skeleton: pairs of joint indices that form limbs.
        flip_pairs: (left, right) joint indices that swap in a mirrored image.
        sigmas: OKS sigma per joint.
        convention: pixel convention of the heatmaps, "authors" (x / 4) or "aligned" ((x + 0.5) / 4 - 0.5).
        decode: the default decoder of the heatmaps: "oks" for networks trained to output probabilities; "" means
            "dark". See :class:`scalenet.pose.codec.HeatmapCodec`.
    """

    dataset: str
    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()
    convention: str = "authors"
    decode: str = ""

    def __post_init__(self) -> None:
        n = len(self.names)
        if not isinstance(self.dataset, str) or not all(isinstance(name, str) for name in self.names):
            raise LabelsError("a data set and its classes or joints need names that are texts")
        for field in ("names", "sigmas"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field in ("colours", "skeleton", "flip_pairs"):
            object.__setattr__(self, field, tuple(tuple(v) for v in getattr(self, field)))
        if not self.colours:
            object.__setattr__(self, "colours", palette(n))
        if len(self.colours) != n or (self.sigmas and len(self.sigmas) != n):
            raise LabelsError(f"{self.dataset}: {n} names need as many colours and sigmas")
        pairs = (*self.skeleton, *self.flip_pairs)
        if any(len(pair) != 2 or not all(isinstance(i, int) for i in pair) for pair in pairs):
            raise LabelsError(f"{self.dataset}: skeleton and flip pairs are pairs of joints' numbers")
        if not all(isinstance(sigma, (int, float)) and sigma > 0 for sigma in self.sigmas):
            raise LabelsError(f"{self.dataset}: sigmas are numbers above 0")
        if any(not 0 <= i < n for pair in pairs for i in pair):
            raise LabelsError(f"{self.dataset}: skeleton or flip pairs name a joint beyond the {n} there are")
        if any(len(c) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in c) for c in self.colours):
            raise LabelsError(f"{self.dataset}: colours are red, green, blue, 0..255")
        if self.convention not in CONVENTIONS:
            raise LabelsError(f"convention must be one of {', '.join(CONVENTIONS)}, got {self.convention!r}")
        if self.decode not in ("", *DECODERS) or (self.decode == "oks" and not self.sigmas):
            raise LabelsError(f"decode must be one of {', '.join(DECODERS)} (oks needs sigmas), got {self.decode!r}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        values = {IN_FILES.get(k, k): v for k, v in asdict(self).items()}
        return values if self.decode else {k: v for k, v in values.items() if k != "decode"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Labels:
        """Read ``to_dict``'s form; unknown keys raise :class:`LabelsError`."""
        known = {IN_FILES.get(f.name, f.name) for f in fields(cls)}
        if not isinstance(data, Mapping) or not {"dataset", "names"} <= set(data) <= known:
            raise LabelsError(f"not labels: {str(data)[:60]}")
        lists = [data[k] for k in known - {"dataset", "convention", "decode"} if k in data]
        try:
            if not all(isinstance(values, (list, tuple)) for values in lists):
                raise TypeError("names, colours, skeleton, flip pairs and sigmas are lists")
            return cls(**{OF_FILES.get(k, k): v for k, v in data.items()})
        except TypeError as e:
            raise LabelsError(f"not labels: {str(e)[:100]}") from None

    @classmethod
    def plain(cls, n: int, dataset: str = "unknown", noun: str = "class") -> Labels:
        """Numbered names, for a network without labels."""
        return cls(dataset, tuple(f"{noun} {i}" for i in range(n)))

    def flip_order(self) -> list[int]:
        """Joint order in a mirrored image."""
        order = list(range(len(self.names)))
        for a, b in self.flip_pairs:
            order[a], order[b] = b, a
        return order


CAMVID = Labels(
    "camvid",
    ("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist"),
    ((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
     (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
)  # fmt: skip

CITYSCAPES = Labels(
    "cityscapes",
    ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
     "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    ((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30),
     (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142),
     (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
)  # fmt: skip

COCO = Labels(
    "coco",
    ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
     "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
     "right_ankle"),
    skeleton=((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9),
              (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
            0.089, 0.089),
)  # fmt: skip

CROWDPOSE = Labels(
    "crowdpose",
    ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
     "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck"),
    skeleton=((12, 13), (13, 0), (13, 1), (0, 2), (2, 4), (1, 3), (3, 5), (13, 6), (13, 7), (6, 8), (8, 10), (7, 9),
              (9, 11)),
    flip_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    sigmas=(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
)  # fmt: skip

LSP = Labels(
    "lsp",
    ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
     "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    skeleton=((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11), (8, 12), (9, 12),
              (12, 13)),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    sigmas=(0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.062, 0.072, 0.079, 0.079, 0.072, 0.062, 0.079, 0.079),
    convention="aligned",
)  # fmt: skip

PERSON = Labels("people_masks", ("background", "person"), ((48, 48, 48), (220, 20, 60)))

# COCO's joints in this project's own networks: pixels are areas and their centres scale, as in LSP's, so that heatmaps
# round nothing and the flip test needs no shift. The authors' networks were trained without, and keep COCO.
COCO_ALIGNED = replace(COCO, convention="aligned", decode="oks")

DATASETS = {labels.dataset: labels for labels in (CAMVID, CITYSCAPES, COCO, CROWDPOSE, LSP, PERSON)}
JOINT_SIGMAS = {n: s for d in DATASETS.values() if d.sigmas for n, s in zip(d.names, d.sigmas, strict=True)}


def shared_joints(names: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """(index in ``names``, index in ``others``) of every joint that both have by name, in the order of ``names``."""
    return [(i, others.index(name)) for i, name in enumerate(names) if name in others]


def map_keypoints(keypoints: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Reorder keypoints by joint name.

    Args:
        keypoints: (..., K, 3) x, y and visibility or score.
        names: names of the K joints.
        wanted: names of the K2 joints to return.

    Returns:
        (..., K2, 3) of the same type; 0, 0, 0 for joints that are not among ``names``.

    Raises:
        ValueError: if the number of names is not K.
    """
    keypoints = np.asarray(keypoints)
    if keypoints.shape[-2:] != (len(names), 3):
        raise ValueError(f"{len(names)} names need keypoints (..., {len(names)}, 3), got {keypoints.shape}")
    mapped = np.zeros((*keypoints.shape[:-2], len(wanted), 3), keypoints.dtype)
    for i, k in shared_joints(wanted, names):
        mapped[..., i, :] = keypoints[..., k, :]
    return mapped
