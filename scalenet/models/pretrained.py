"""The table of pretrained weights as data: where they are, their labels, and their reported and measured metrics.

"reported" metrics are the paper's (reached with the authors' files), "measured" ones this project's own, each with the
command that prints it. The architectures are ``archs/*.json``; a test recomputes costs and file hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..archs.arch import Arch
from ..data.labels import CAMVID, CITYSCAPES, COCO, COCO_ALIGNED, PERSON, Labels
from .metadata import INPUT, CheckpointMetadata, Metrics

ARCHS = Path(__file__).parents[1] / "archs"
FILES = Path(__file__).parents[1] / "weights"


def arch_file(name: str) -> Path:
    """A registered name's architecture file; a bottom-up name without its own uses the top-down network's."""
    own = ARCHS / f"{name}.json"
    return own if own.is_file() else ARCHS / f"{name.removesuffix('_bottomup')}.json"


@dataclass(frozen=True)
class Entry:
    """Weights of one registered network under one tag.

    ``file`` names a file inside the package, ``hub_id`` (with ``revision`` and ``hub_filename``) one on the Hub; with
    neither, ``authors_file`` names what the authors released for it. ``sha256`` is checked wherever it is given.
    ``measured`` is this project's, data set -> split -> metric, by ``protocol`` and with ``command``; ``reported`` the
    paper's. ``recipe`` is how an image becomes an input; the pixel convention of heatmaps is the labels'.
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
    measured: Metrics = field(default_factory=dict)
    protocol: str = ""
    command: str = ""
    license: str = "mit"
    terms: str = ""
    recipe: Mapping[str, Any] = field(default_factory=lambda: dict(INPUT))

    @property
    def arch(self) -> Arch:
        """The architecture."""
        return Arch.load(arch_file(self.name))

    @property
    def path(self) -> Path:
        """The path of the file inside the package."""
        return FILES / self.file

    @property
    def front(self) -> Path:
        """Where the front of its family is, if one is in the package (:mod:`scalenet.engines.front`)."""
        return FILES / f"{Path(self.file or self.name).stem}.front.safetensors"

    @property
    def is_file(self) -> bool:
        """Whether the weights ship inside the package."""
        return bool(self.file) and self.path.is_file()

    def metadata(self, said: CheckpointMetadata | None = None) -> CheckpointMetadata:
        """What is known of the weights; ``said`` is what their file says, of which how they were made remains."""
        said = said or CheckpointMetadata()
        return replace(
            said, arch=self.arch.replace(input_size=self.input_size), task=self.task, labels=self.labels,
            preprocessing=dict(self.recipe), datasets=said.datasets or (self.labels.dataset,), terms=self.terms,
            license=self.license, metrics=self.measured, protocol=self.protocol, command=self.command,
            network=f"{self.name}.{self.tag}",
        )  # fmt: skip


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


EVERYDAY_TERMS = (
    "trained on Stanford 40 Actions and Leeds Sports Pose Extended, after Tiny-ImageNet; all are for research only"
)
PERSON_TERMS = (
    "trained on photographs of people of four public sets (street fashion, pedestrians, portraits, COCO scenes), after "
    "ImageNet's classes learned from EfficientNet-Lite0; all are for research only"
)

TABLE: tuple[Entry, ...] = (
    Entry(
        "scalenet_s0", "camvid", "segmentation", CAMVID, (360, 480), file="scalenet_s0.safetensors",
        sha256="ca2b5d6cfb0b8529446ec8b6bd3f08ac026667ee423d9adee635ac7580820715",
        measured={"camvid": {"val": {"miou": 0.8278, "pixel_accuracy": 0.9631}}},
        protocol="whole images at 360x480, one scale, no flip; val was trained on too",
        command="scalenet evaluate scalenet_s0 --dataset camvid --root ROOT --split val",
        license="other",
        terms="trained on CamVid's train and val after Tiny-ImageNet; both data sets are for research only",
    ),
    Entry(
        "scalenet_s0", "person", "segmentation", PERSON, (360, 480), file="scalenet_s0_person.safetensors",
        sha256="0b26a6fd2663b5735ede23447d4a5014ce83dc05990076d54d7eb6099d3e7ca9",
        measured={"people_masks": {"val": {"miou": 0.8457, "pixel_accuracy": 0.9417}}},
        protocol="whole images at their size, one scale, no flip",
        command="scalenet evaluate scalenet_s0.person --dataset folder --root ROOT --split val",
        license="other", terms=PERSON_TERMS,
    ),
    Entry(
        "scalenet_p0", "coco", "pose", COCO_ALIGNED, (256, 192), file="scalenet_p0.safetensors",
        sha256="8eb0114c3a98a17dbaf4edbc8034bb9ee29b942d2352be70fd8f58bf70bd78e4",
        measured={"stanford40": {"val": {"ap": 0.6501, "ap50": 0.934, "ap75": 0.7113}},
                  "coco_mini": {"train2017": {"ap": 0.3243}}, "lsp": {"val": {"pck": 0.613}}},
        protocol="annotated boxes, flip test, OKS decoding; of LSP's joints the 12 that COCO has too",
        command="scalenet evaluate scalenet_p0 --dataset stanford40 --root ROOT --split val",
        license="other", terms=EVERYDAY_TERMS,
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
        "scalenet_p0_bottomup", "coco", "bottomup", COCO_ALIGNED, (512, 512),
        file="scalenet_p0_bottomup.safetensors",
        sha256="d45a7e0c5a77b0cbf3d135ea4ddb732a7ffde697243c83f82158a54510efabea",
        measured={"composed crowds": {"val": {"ap50": 0.309, "ap": 0.116}}},
        protocol="no boxes, short side 512, one scale, flip test",
        command="scalenet evaluate scalenet_p0_bottomup --dataset coco --root ROOT --split val, ROOT from "
        "python -m training crowds STANFORD40 --more LSP --backgrounds CAMVID TINY_IMAGENET -o ROOT",
        license="other", terms=EVERYDAY_TERMS,
    ),
    _bottomup("scalenet_p1_bottomup"),
    _bottomup("scalenet_p2_bottomup"),
    _bottomup("scalenet_p3_bottomup"),
    _bottomup("scalenet_p4_bottomup", ap_testdev_multiscale=0.716, crowdpose_ap_multiscale=0.713),
)  # fmt: skip


def shown_name(entry: Entry) -> str:
    """The name in lists: without the tag for the default tag, else "name.tag"."""
    return entry.name if find_entry(entry.name) is entry else f"{entry.name}.{entry.tag}"


def find_entry(name: str, cfg: Any = None) -> Entry | None:
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
