"""The Hugging Face Hub's form, through timm: ``config.json``, ``model.safetensors``, ``README.md``, and nothing else.

The architecture, the task and the labels travel in ``model_args``, so that ``timm.create_model("hf-hub:user/name",
pretrained=True)`` or ``"local-dir:folder"`` builds searched networks too (after ``import scalenet``).
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..data.io import full_disk_named
from ..network import ScaleNet, unwrap
from . import checkpoint
from .model_card import model_card
from .provenance import recorded

FILES = ("config.json", "model.safetensors", "README.md")
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
    save_for_hf(speaker, folder, model_config=config, model_args=model_args, safe_serialization=True)
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # safetensors makes it private
    (folder / "README.md").write_text(model_card(model, name), encoding="utf-8")


def save_pretrained(model: ScaleNet, folder: str | Path, name: str | None = None) -> Path:
    """Write a network in timm's hub form; each file appears whole.

    Args:
        model: any network of this package, built by timm or directly, compiled or in ``DataParallel`` too.
        folder: made if it is not there; other files in it stay.
        name: title of the card; default the encoding's name.

    Returns:
        the folder, which ``timm.create_model(f"local-dir:{folder}", pretrained=True)`` reads.

    Raises:
        TypeError: for anything else.
        DiskFullError: if there is no room; the files of before stay.
    """
    model = unwrap(model)
    if not isinstance(model, ScaleNet):
        raise TypeError(f"a network of this package is needed, got {type(model).__name__}")
    folder = Path(folder)
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    with full_disk_named(folder / "model.safetensors", size):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            _save(model, Path(temporary), name or model.arch.name or "scalenet")
            for file in FILES:
                os.replace(Path(temporary) / file, folder / file)
    return folder


def push_to_hub(
    model: ScaleNet,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Add model",
) -> str:
    """Upload a network to the Hugging Face Hub as ``save_pretrained`` writes it; returns the commit's address.

    Args:
        repo_id: "user/name"; made if it does not exist. A card that is there already stays.
        revision: branch to write to, made from the main one if it does not exist; default the main one.

    Raises:
        huggingface_hub.errors.HfHubHTTPError: where the Hub refuses (no token, no right).
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
