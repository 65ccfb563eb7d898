"""The table of weights as data: where the published networks' weights are, what they mean, whose figures are whose.

"reported" figures are the paper's (reached with the authors' files), "measured" ones this project's own, each with the
command that prints it. The encodings are ``archs/*.json``; a test recomputes costs and file hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .arch import Arch
from .datasets import CAMVID, CITYSCAPES, COCO, COMPOSED, LSP, Labels

ARCHS = Path(__file__).parent / "archs"

FILES = Path(__file__).parent / "files"
INPUT: Mapping[str, Any] = {  # what a picture of values 0..1 goes through
    "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "interpolation": "bilinear", "crop_pct": 1.0,
}  # fmt: skip


def encoding_file(name: str) -> Path:
    """Where a registered name's encoding is; bottom-up names share the top-down network's."""
    return ARCHS / f"{name.removesuffix('_bottomup')}.json"


@dataclass(frozen=True)
class Entry:
    """Weights of one registered network under one tag.

    ``file`` names a file inside the package, ``hub_id`` (with ``revision`` and ``hub_filename``) one on the Hub; with
    neither, ``authors_file`` names what the authors released for it. ``sha256`` is checked wherever it is given.
    ``recipe`` is how a picture becomes an input; the pixel convention of heatmaps is the labels'.
    """

    name: str
    tag: str
    task: str
    labels: Labels
    input_size: tuple[int, int]
    file: str = ""
    hub_id: str = ""
    revision: str = ""
    hub_filename: str = "model.safetensors"
    sha256: str = ""
    authors_file: str = ""
    reported: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    license: str = "mit"
    terms: str = ""
    recipe: Mapping[str, Any] = field(default_factory=lambda: dict(INPUT))

    @property
    def arch(self) -> Arch:
        """The encoding."""
        return Arch.load(encoding_file(self.name))

    @property
    def path(self) -> Path:
        """Where the file inside the package is."""
        return FILES / self.file

    @property
    def is_file(self) -> bool:
        """Whether the weights ship inside the package."""
        return bool(self.file) and self.path.is_file()


def _pose(name: str, size: tuple[int, int], authors_file: str, **reported: Any) -> Entry:
    terms = "trained by the authors on COCO keypoints after ImageNet"
    return Entry(
        name, "coco", "pose", COCO, size, authors_file=authors_file, reported=reported,
        license="other", terms=terms,
    )  # fmt: skip


def _segmentation(name: str, width: int, **reported: Any) -> Entry:
    return Entry(
        name, "cityscapes", "segmentation", CITYSCAPES, (1024, 2048), authors_file=f"superscalenet_seg_w{width}",
        reported=reported, license="other",
        terms="trained by the authors on Cityscapes (non-commercial) after ImageNet",
    )  # fmt: skip


def _bottomup(name: str, **reported: Any) -> Entry:
    return Entry(name, "coco", "bottomup", COCO, (512, 512), reported=reported)


TABLE: tuple[Entry, ...] = (
    Entry(
        "scalenet_s0", "camvid", "segmentation", CAMVID, (360, 480), file="scalenet_s0.safetensors",
        sha256="ea5532719f3110716cbb26b1d1d8f049ab397e234749641d437aeb6e7e34f002",
        measured={"camvid val miou": 0.7318, "camvid val pixel_accuracy": 0.9419,
                  "protocol": "whole pictures at 360x480, one scale, no flip",
                  "command": "scalenet evaluate scalenet_s0 --dataset camvid --root ROOT --split val"},
        license="other", terms="trained on CamVid after Tiny-ImageNet; both data sets are for research only",
    ),
    Entry(
        "scalenet_p0", "lsp", "pose", LSP, (192, 144), file="scalenet_p0.safetensors",
        sha256="f3aeea743f0c89e4fbd27628d3b2b158afa70000089e7926e7182109755edd72",
        measured={"lsp val pck": 0.6283, "protocol": "annotated boxes, flip test, DARK decoding",
                  "command": "scalenet evaluate scalenet_p0 --dataset lsp --root ROOT --split val"},
        license="other", terms="trained on Leeds Sports Pose Extended after Tiny-ImageNet; both are for research only",
    ),
    _pose("scalenet_p1", (256, 192), "superscalenet_pose_w32_256x192", ap="about 0.749 (read off a figure)"),
    _pose("scalenet_p2", (256, 192), "scalenet_P2_w32_256x192", ap=0.752, ap50=0.904, ap75=0.824, apm=0.716, apl=0.819,
          ar=0.804),
    _pose("scalenet_p3", (384, 288), "scalenet_P3_w32_384x288", ap=0.763, ap50=0.907, ap75=0.829, apm=0.725, apl=0.833,
          ar=0.813),
    _pose("scalenet_p4", (384, 288), "scalenet_P4_w48_384x288", ap=0.770, ap50=0.909, ap75=0.836, apm=0.730, apl=0.842,
          ar=0.818),
    _segmentation("scalenet_s1", 32, miou=0.805),
    _segmentation("scalenet_s2", 32, miou=0.811),
    _segmentation("scalenet_s3", 48, miou="about 0.819 (read off a figure)"),
    _segmentation("scalenet_s4", 48, miou=0.820),
    Entry(
        "scalenet_p0_bottomup", "crowdpose", "bottomup", COMPOSED, (512, 512),
        file="scalenet_p0_bottomup.safetensors",
        sha256="87a77c1bf87e1e7f776f4d24299d62802361269d544494908b7bf38b1ba9dd66",
        measured={"composed crowds val ap50": 0.5379, "composed crowds val ap": 0.2017,
                  "protocol": "no boxes, short side 512, one scale, flip test",
                  "command": "scalenet evaluate scalenet_p0_bottomup --dataset crowdpose --root ROOT --split val, "
                  "ROOT from python -m training crowds LSP -o ROOT"},
        license="other",
        terms="trained on crowds composed from Leeds Sports Pose Extended, after Tiny-ImageNet; "
        "both are for research only",
    ),
    _bottomup("scalenet_p1_bottomup"),
    _bottomup("scalenet_p2_bottomup"),
    _bottomup("scalenet_p3_bottomup"),
    _bottomup("scalenet_p4_bottomup", ap_testdev_multiscale=0.716, crowdpose_ap_multiscale=0.713),
)  # fmt: skip


def find(name: str, cfg: Any = None) -> Entry | None:
    """The table's entry for a registered name; ``cfg`` is timm's pretrained_cfg argument (a tag, a cfg or None).

    A cfg of weights from a hub repository or a folder brings its own labels and source: no entry.
    """
    entries = [e for e in TABLE if e.name == name]
    if isinstance(cfg, str):
        entries = [e for e in entries if not cfg or e.tag == cfg]
    elif cfg is not None:
        file, hub_id = (cfg.get(k) if isinstance(cfg, Mapping) else getattr(cfg, k) for k in ("file", "hf_hub_id"))
        entries = [e for e in entries if (e.is_file and file == str(e.path)) or (hub_id and hub_id == e.hub_id)]
    return entries[0] if entries else None
