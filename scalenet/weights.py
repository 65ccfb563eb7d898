"""The table of weights as data, and weight files: found, verified, read strictly, written whole.

"reported" figures are the paper's (reached with the authors' files), "measured" ones this project's own, each with the
command that prints it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .arch import Arch, ArchError
from .cost import DEFAULT_OUTPUTS
from .datasets import CAMVID, CITYSCAPES, COCO, Labels, LabelsError
from .network import ScaleNet

FILES = Path(__file__).parent / "files"


class WeightsError(ValueError):
    """A weight file that is damaged or does not belong to the network."""


class NoWeights(LookupError, RuntimeError):
    """Weights were asked for where none are published."""


@dataclass(frozen=True)
class Entry:
    """Weights of one registered network under one tag.

    ``file`` names a file inside the package, ``hub_id`` (with ``revision`` and ``hub_filename``) one on the Hub; with
    neither, ``authors_file`` names what the authors released for it. ``sha256`` is checked wherever it is given.
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
    return Entry(name, "coco", "pose", COCO, size, authors_file=authors_file, reported=reported, terms=terms)


def _segmentation(name: str, width: int, **reported: Any) -> Entry:
    return Entry(
        name, "cityscapes", "segmentation", CITYSCAPES, (1024, 2048), authors_file=f"superscalenet_seg_w{width}",
        reported=reported, terms="trained by the authors on Cityscapes (non-commercial) after ImageNet",
    )  # fmt: skip


def _bottomup(name: str, **reported: Any) -> Entry:
    return Entry(name, "coco", "bottomup", COCO, (512, 512), reported=reported)


TABLE: tuple[Entry, ...] = (
    Entry(
        "scalenet_s0", "camvid", "segmentation", CAMVID, (360, 480), file="scalenet_s0.safetensors",
        sha256="80fdc310e94f56c5872a0ac23ac22ed44ad8d82282134a1b3033b2d99a0fd9d9",
        measured={"camvid val miou": 0.6038, "camvid val pixel_accuracy": 0.8856,
                  "command": "scalenet evaluate scalenet_s0 --dataset camvid --root ROOT --split val"},
        license="other", terms="trained on CamVid after Tiny-ImageNet; both data sets are for research only",
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
    _bottomup("scalenet_p1_bottomup"),
    _bottomup("scalenet_p2_bottomup"),
    _bottomup("scalenet_p3_bottomup"),
    _bottomup("scalenet_p4_bottomup", ap_testdev_multiscale=0.716, crowdpose_ap_multiscale=0.713),
)  # fmt: skip


def find(name: str, cfg: Mapping[str, Any] | str | None = None) -> Entry | None:
    """The table's entry for a registered name; ``cfg`` is timm's pretrained_cfg argument (a tag, a dict or None).

    A dict (weights from a hub repository or a folder) brings its own labels and source: no entry.
    """
    if cfg is not None and not isinstance(cfg, str):
        return None
    entries = [e for e in TABLE if e.name == name and (not cfg or e.tag == cfg)]
    return entries[0] if entries else None


def source(entry: Entry, cache_dir: str | Path | None = None) -> dict[str, Any]:
    """timm's cfg fields for where an entry's weights are, the file checked against its SHA-256.

    Raises:
        NoWeights: if none are published; names the ways on.
        WeightsError: if the file is another than the one published.
    """
    if entry.is_file:
        path = entry.path
    elif entry.hub_id:
        from huggingface_hub import hf_hub_download

        revision = entry.revision or None
        path = Path(hf_hub_download(entry.hub_id, entry.hub_filename, revision=revision, cache_dir=cache_dir))
    else:
        raise NoWeights(no_weights_message(entry))
    verify(path, entry.sha256)
    return {"file": str(path), "hf_hub_id": None}


def no_weights_message(entry: Entry) -> str:
    """What a user can do where no weights are published."""
    command = f"scalenet convert FILE.pth --model {entry.name} -o OUT.safetensors"
    convert = f"convert the authors' file {entry.authors_file}.pth ({command})"
    ways = ([convert] if entry.authors_file else []) + [
        "train it (python -m training, from a checkout)",
        'give weights of your own: "hf-hub:user/repo", "local-dir:folder" or checkpoint_path=',
    ]
    return f"no weights are published for {entry.name}.{entry.tag}; {'; or '.join(ways)}"


def verify(path: str | Path, sha256: str) -> None:
    """Check a file against a declared SHA-256 (empty: nothing is declared).

    Raises:
        WeightsError: if it differs.
    """
    if not sha256:
        return
    found = digest_of(path)
    if found != sha256:
        raise WeightsError(f"{path} has SHA-256 {found[:16]}…, {sha256[:16]}… was published: damaged or replaced")


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def plain_cfg(arch: Arch, task: str | None, outputs: int | None) -> dict[str, Any]:
    """timm's cfg of an unpublished network of encoding ``arch``."""
    task = task or arch.task
    outputs = DEFAULT_OUTPUTS.get(task, 0) if outputs is None else outputs
    return {"input_size": (3, *arch.input_size), "num_classes": outputs}


def save_weights(
    path: str | Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str], half: bool = False
) -> Path:
    """Write tensors and text metadata.

    Args:
        half: store matrices and kernels as fp16; vectors (biases, BatchNorm) stay as they are.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: (v.half() if half and v.is_floating_point() and v.ndim > 1 else v).detach().cpu().contiguous()
        for k, v in state.items()
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata={k: str(v) for k, v in metadata.items()})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if it is damaged or no safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    try:
        with safe_open(path, framework="pt") as f:
            names = f.keys()  # safe_open is no mapping
            return {k: f.get_tensor(k) for k in names}, dict(f.metadata() or {})
    except (SafetensorError, OSError, ValueError) as e:
        raise WeightsError(f"{path} is damaged or no safetensors file ({str(e)[:80]})") from None


def select(state: Mapping[str, torch.Tensor], model: nn.Module, what: str = "the file") -> dict[str, torch.Tensor]:
    """The entries of ``state`` that ``model`` has, all of them.

    Raises:
        WeightsError: if one is missing or has another shape; names the first and says how many.
    """
    wanted = model.state_dict()
    missing = [k for k in wanted if k not in state]
    if missing:
        raise WeightsError(f"{what} lacks {len(missing)} of {len(wanted)} entries, the first is {missing[0]}")
    wrong = [k for k in wanted if state[k].shape != wanted[k].shape]
    if wrong:
        k = wrong[0]
        raise WeightsError(f"{what}: {k} has shape {tuple(state[k].shape)}, the network needs {tuple(wanted[k].shape)}")
    return {k: state[k] for k in wanted}


def load_model(path: str | Path) -> ScaleNet:
    """The network of a weights file of this project, built from the file's own metadata, strictly loaded.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, damaged, or says nothing of its encoding.
    """
    state, metadata = read_weights(path)
    if "arch" not in metadata:
        raise WeightsError(f"{path} holds tensors but no encoding: it was not written by scalenet")
    try:
        arch = Arch.from_json(metadata["arch"])
        labels = Labels.from_dict(json.loads(metadata["labels"])) if metadata.get("labels") else None
    except (ArchError, LabelsError, ValueError, TypeError) as e:
        raise WeightsError(f"{path}: {e}") from None
    task = metadata.get("task") or arch.task
    outputs = len(labels.names) if labels else _outputs(state, task)
    with torch.device("meta"):
        wanted = {k: v.shape for k, v in ScaleNet(arch, task, outputs).state_dict().items()}
    unexpected = [k for k in state if k not in wanted]
    if unexpected:
        raise WeightsError(f"{path} has {len(unexpected)} entries too many, the first is {unexpected[0]}")
    in_chans = state["conv1.weight"].shape[1] if "conv1.weight" in state else 3
    model = ScaleNet(arch, task, outputs, in_chans, labels, weights_follow=True)
    model.load_state_dict(select(state, model, str(path)))
    return model.eval()


def _outputs(state: Mapping[str, torch.Tensor], task: str) -> int:
    names = {"segmentation": "last_layer.3.bias", "pose": "final_layer.bias", "bottomup": "bottomup_layer.stride2.bias"}
    layer = state.get(names.get(task, ""))
    return 0 if layer is None else len(layer)
