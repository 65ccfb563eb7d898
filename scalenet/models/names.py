"""Model names: a registered network, a Hub repository, a local folder in the Hub's layout, or a weights file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import timm
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from timm.models import parse_model_name, split_model_name_tag

from ..archs.arch import Arch
from ..archs.tasks import task_spec
from ..runtime.errors import nearest
from . import pretrained
from .checkpoint import refuse_pickled

PREFIX = "scalenet"  # of registered names; alone it is the network of any architecture
MAX_NAME = 16  # characters of "hrnet_w32"
SCHEMES = ("hf-hub:", "hf_hub:", "local-dir:")


@dataclass(frozen=True)
class ModelName:
    """A name, parsed.

    Args:
        kind: which of the four it is.
        place: the registered name, the repository "user/name", the folder, or the file.
        tag: of a registered name, "" where none is given.
        revision: of a repository, "" where none is given.
    """

    kind: Literal["registered", "hub", "folder", "file"]
    place: str
    tag: str = ""
    revision: str = ""

    def __str__(self) -> str:
        """The name as timm and all of this package's doors take it."""
        if self.kind == "registered":
            return f"{self.place}.{self.tag}" if self.tag else self.place
        if self.kind == "hub":
            return f"hf-hub:{self.hub_id}"
        return f"local-dir:{self.place}" if self.kind == "folder" else self.place

    @property
    def hub_id(self) -> str:
        """The hub's name, "user/name" or "user/name@revision"."""
        return f"{self.place}@{self.revision}" if self.revision else self.place

    @property
    def label(self) -> str:
        """What to call the network in a list: without the folders before it, and without a file's suffix."""
        if self.kind == "folder":
            return Path(self.place).name
        return Path(self.place).stem if self.kind == "file" else str(self)


def parse_name(name: str | Path) -> ModelName:
    """Parse a model name; nothing is downloaded. A weights file in a folder of the Hub's layout means the folder.

    Args:
        name: a registered name with or without a tag ("scalenet_s0.camvid"), "hf-hub:user/name[@revision]",
            "local-dir:folder", or a ``.safetensors`` file.

    Raises:
        LookupError: for an unknown name (naming the nearest) or tag, or another source.
        WeightsError: for the name of a pickled file.
    """
    text = str(name)
    if text.endswith(".safetensors") and not text.lower().startswith(SCHEMES):
        path = Path(text)
        if path.name == SAFETENSORS_SINGLE_FILE and path.with_name("config.json").is_file():
            return ModelName("folder", str(path.parent))
        return ModelName("file", text)
    if not text.lower().startswith(SCHEMES):
        refuse_pickled(text)
    if ":" not in text:
        return _registered(text)
    try:
        source, place = parse_model_name(text)
    except ValueError:
        source, place = None, ""
    if source == "local-dir":
        return ModelName("folder", place)
    place, _, revision = place.partition("@")
    if source != "hf-hub" or not place or "@" in revision:
        raise LookupError(f"unknown model {text!r}: hf-hub:user/name[@revision] or local-dir:folder are known")
    return ModelName("hub", place, revision=revision)


def registered_names() -> list[str]:
    """What this package has registered with timm, without tags."""
    return timm.list_models(f"{PREFIX}*")


def named_arch(text: str, task: str | None = None) -> Arch | None:
    """The architecture of a registered name or of ``hrnet_wN``; None for any other text, which may be a file's name.

    ``task`` picks the HRNet of segmentation (default) or of pose; they differ in task and input size.

    Raises:
        ArchError: for an HRNet that is too wide.
    """
    if text.startswith("hrnet_w") and text[7:].isdecimal() and len(text) < MAX_NAME:
        return Arch.hrnet(int(text[7:]), task_spec(task or "segmentation").encoding)
    known = text != PREFIX and text in registered_names()
    return Arch.load(pretrained.arch_file(text)) if known else None


def _registered(text: str) -> ModelName:
    name, tag = split_model_name_tag(text)
    known = registered_names()
    if name not in known:
        if Path(text).is_dir():
            raise LookupError(f"unknown model {text!r}; for a folder, use local-dir:{text}")
        if "/" in text:
            raise LookupError(f"unknown model {text!r}; for a Hub repository, use hf-hub:{text}")
        raise LookupError(f"unknown model {text!r}; {nearest(name, known, cutoff=0.4)}")
    tags = [e.tag for e in pretrained.TABLE if e.name == name]
    if tag and tag not in tags:
        raise LookupError(f"unknown tag {tag!r} of {name}; there is {', '.join(tags) or 'none'}")
    return ModelName("registered", name, tag)
