"""timm's Hugging Face Hub format: ``config.json``, ``model.safetensors`` and ``README.md``, nothing else.

Architecture, task and labels are stored in ``model_args``, so ``timm.create_model("hf-hub:user/name",
pretrained=True)`` and ``"local-dir:folder"`` also build searched networks (after ``import scalenet``).
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..data.io import full_disk_named
from ..engines.front import HUB_FILE, Front
from ..nn.blocks import unwrap
from ..nn.network import ScaleNet
from . import checkpoint
from .model_card import front_card, model_card
from .provenance import recorded

FILES = ("config.json", "model.safetensors", "README.md")
FRONT_FILES = (HUB_FILE, "front.svg", "README.md")
GENERIC = "scalenet"
SOURCES = ("file", "hf_hub_id", "source", "url", "state_dict", "label_names")  # of a cfg: not of what is saved


def _save(model: ScaleNet, folder: Path, name: str) -> None:
    from timm.models import save_for_hf

    cfg = dict(getattr(model, "pretrained_cfg", None) or {})
    cfg = {
        **checkpoint.plain_cfg(model.arch, model.task, model.num_classes),
        **{k: v for k, v in cfg.items() if k not in SOURCES},
        "architecture": GENERIC, "num_classes": model.num_classes, **checkpoint.network_cfg(model.task),
    }  # fmt: skip
    cfg["input_size"] = (model.in_chans, *tuple(cfg["input_size"])[1:])
    labels = model.labels.to_dict() if model.labels else None
    arguments = {"arch": model.arch.to_dict(), "task": model.task, "in_chans": model.in_chans, "labels": labels}
    config: dict[str, Any] = {"label_names": list(model.labels.names)} if model.labels else {}
    if record := recorded(model):
        config["metadata"] = record
    model_args = {k: v for k, v in arguments.items() if v is not None}
    # timm writes what the model says of itself, and tensors that are contiguous alone
    speaker = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    speaker.pretrained_cfg, speaker._model_args = cfg, {}
    save_for_hf(speaker, str(folder), model_config=config, model_args=model_args, safe_serialization=True)
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # safetensors makes it private
    (folder / "README.md").write_text(model_card(model, name), encoding="utf-8")


def _save_front(front: Front, folder: Path, name: str) -> None:
    shutil.copyfile(front.path, folder / HUB_FILE)
    front.plot(folder / "front.svg")
    (folder / "README.md").write_text(front_card(front, name), encoding="utf-8")


def save_pretrained(model: ScaleNet | Front, folder: str | Path, name: str | None = None) -> Path:
    """Write a network in timm's Hub format, or a front with its model card; each file is written atomically.

    Args:
        model: a network of this package, also wrapped in ``torch.compile`` or ``DataParallel``; or a
            :class:`scalenet.Front`, written as ``front.safetensors``, ``front.svg`` and ``README.md``.
        folder: created if needed; other files in it are kept.
        name: title of the model card; default the architecture's name.

    Returns:
        The folder, for ``timm.create_model(f"local-dir:{folder}", pretrained=True)`` or, for a front,
        ``scalenet.Front(f"local-dir:{folder}")``.

    Raises:
        TypeError: for any other object.
        DiskFullError: if the disk is full; existing files are kept.
    """
    kept = model if isinstance(model, Front) else unwrap(model)
    if not isinstance(kept, (ScaleNet, Front)):
        raise TypeError(f"a network of this package is needed, got {type(kept).__name__}")
    folder = Path(folder)
    if isinstance(kept, Front):
        front, title, size = kept, name or kept.label, kept.path.stat().st_size
        _replace(folder, FRONT_FILES, size, lambda temporary: _save_front(front, temporary, title))
    else:
        network, title = kept, name or kept.arch.name or "scalenet"
        size = sum(tensor.nbytes for tensor in network.state_dict().values())
        _replace(folder, FILES, size, lambda temporary: _save(network, temporary, title))
    return folder


def _replace(folder: Path, files: Sequence[str], size: int, save: Callable[[Path], None]) -> None:
    """Let the files be written to a temporary folder, then move them into place."""
    weights = next(file for file in files if file.endswith(".safetensors"))
    with full_disk_named(folder / weights, size):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            save(Path(temporary))
            for file in files:
                os.replace(Path(temporary) / file, folder / file)


def push_to_hub(
    model: ScaleNet | Front,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Add model",
) -> str:
    """Upload a network or front to the Hugging Face Hub, as ``save_pretrained`` writes it; returns the commit's URL.

    Args:
        repo_id: "user/name"; created if it does not exist. An existing model card is kept.
        revision: branch to write to, created from main if it does not exist; default main.

    Raises:
        huggingface_hub.errors.HfHubHTTPError: if the Hub refuses (no token, no permission).
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="scalenet")
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="scalenet-"))
    try:
        save_pretrained(model, folder, repo_id.split("/")[-1])
        if api.file_exists(repo_id, "README.md", revision=revision):
            (folder / "README.md").unlink()
        info = api.upload_folder(repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message)
    finally:
        shutil.rmtree(folder)
    return str(info.commit_url)
