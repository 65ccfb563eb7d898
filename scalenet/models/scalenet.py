"""timm entrypoints and default cfgs of the published networks and of this project's own.

``import scalenet`` registers everything below with timm. "Reported" metrics are the paper's; parameters and
multiply-adds are counted from the architectures (:mod:`scalenet.archs.cost`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from ..archs.arch import Arch, ArchError
from ..nn.network import ScaleNet
from . import checkpoint, repository
from .names import PREFIX, named_arch
from .pretrained import INPUT, TABLE, Entry, find_entry
from .provenance import mark

PLAIN = {"custom_load": False, "label_offset": None}  # of timm's cfg: no reader but timm's own
SOURCES = ("file", "url", "hf_hub_id", "state_dict")  # where a cfg may have weights from


def _cfg(entry: Entry) -> dict[str, Any]:
    return {
        "file": str(entry.path) if entry.is_file else None,
        "hf_hub_id": entry.hub_id,
        "num_classes": len(entry.labels.names),
        "input_size": (3, *entry.input_size),
        **checkpoint.network_cfg(entry.task),
        **entry.recipe,
        "license": entry.license,
    }


_CFGS: dict[str, Any] = {f"{e.name}.{e.tag}": _cfg(e) for e in TABLE}
default_cfgs = generate_default_cfgs(_CFGS | {"scalenet": {
    "num_classes": -1, "input_size": (3, 256, 256), "pool_size": None, "first_conv": "conv1", "classifier": None,
    **INPUT,
}})  # fmt: skip


def resolve_arch(arch: Arch | Mapping[str, Any] | str | Path, task: str | None = None) -> Arch:
    """An architecture from an Arch, its dict, a JSON path, or a name (see :func:`scalenet.models.names.named_arch`).

    Raises:
        ArchError: if it is none of these.
    """
    if isinstance(arch, Arch):
        return arch
    if isinstance(arch, Mapping):
        return Arch.from_dict(arch)
    text = str(arch)
    if named := named_arch(text, task):
        return named
    if Path(text).is_file():
        return Arch.load(text)
    raise ArchError(f"arch: an architecture, its dict, a JSON file, a registered name or hrnet_wN, not {text[:60]!r}")


def _create(
    variant: str, pretrained: bool, arch: Arch | Mapping[str, Any] | str | Path | None = None, **kwargs: Any
) -> ScaleNet:
    """Build through timm. Keywords that neither timm nor :class:`ScaleNet` knows raise TypeError there."""
    saved = _is_saved(variant, arch, kwargs)
    if arch is None and variant == PREFIX:
        raise TypeError('scalenet needs arch=: an Arch, its dict, a JSON file, a registered name or "hrnet_w32"')
    if variant != PREFIX:
        given = [key for key, value in (("arch", arch), ("task", kwargs.get("task"))) if value is not None]
        if given:
            raise TypeError(f"{variant} has its own {given[0]}; a network of another is scalenet, with arch= and task=")
        kwargs["task"] = "bottomup" if variant.endswith("_bottomup") else None
    arch = resolve_arch(variant if arch is None else arch, kwargs.get("task"))
    cfg = kwargs.pop("pretrained_cfg", None)
    overlay = dict(kwargs.pop("pretrained_cfg_overlay", None) or {})
    if variant == PREFIX and not cfg:
        cfg = checkpoint.plain_cfg(arch, kwargs.get("task"), kwargs.get("num_classes"))
        if pretrained and not any(overlay.get(k) for k in SOURCES):
            raise checkpoint.NoWeights(
                "no weights are published for an architecture of your own; convert a checkpoint (scalenet convert "
                f"FILE.pth --arch FILE.json); or {checkpoint.TRAIN}; or {checkpoint.OWN_WEIGHTS}"
            )
    if saved:
        overlay = _saved_overlay(kwargs.get("task") or arch.task, overlay)
    entry = find_entry(variant, cfg)
    if entry and "labels" not in kwargs and kwargs.get("num_classes") in (None, len(entry.labels.names)):
        kwargs["labels"] = entry.labels
    published = entry if pretrained and not any(overlay.get(k) for k in SOURCES) else None
    if published:
        overlay |= checkpoint.weights_source(published, kwargs.get("cache_dir"))
    fitting = partial(_fitting, features=bool(kwargs.get("features_only")))
    model = build_model_with_cfg(
        ScaleNet, variant, pretrained, cfg, overlay, arch=arch, weights_follow=bool(pretrained),
        pretrained_filter_fn=fitting, feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}, **kwargs,
    )  # fmt: skip
    if published and isinstance(model, ScaleNet):
        known = published.metadata(checkpoint.read_metadata(overlay["file"]))
        same = model.labels == published.labels and model.in_chans == 3
        mark(model, known if same else replace(known.without_metrics(), network=""))
    return model


def _is_saved(variant: str, arch: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether timm read cfg and arguments from the config of a repository or folder; then they are checked."""
    cfg = kwargs.get("pretrained_cfg")
    if not isinstance(cfg, Mapping) or cfg.get("source") not in ("hf-hub", "local-dir"):
        return False
    arguments = kwargs.get("pretrained_model_args") or {}
    if variant == PREFIX and arch is not None and "arch" not in arguments:  # a caller's own
        arguments = {**arguments, "arch": resolve_arch(arch, kwargs.get("task")).to_dict()}
    repository.check_config(variant, cfg, arguments, repository.source_of(cfg))
    return True


def _saved_overlay(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What stands over a config's cfg: what of it can only be so, and what a caller gave, other weights among it."""
    source = {"source": None} if any(given.get(k) for k in SOURCES) else {}
    return {**checkpoint.network_cfg(task), **PLAIN, **source, **given}


def _fitting(state: dict[str, torch.Tensor], model: ScaleNet, features: bool) -> dict[str, torch.Tensor]:
    """timm's checkpoint filter, used to check the state dict.

    timm loads with ``strict=False`` where it resets the classifier, and adapts the stem to ``in_chans``.
    """
    cfg = model.pretrained_cfg
    anew = features or model.num_classes != cfg["num_classes"]
    heads = tuple(f"{name}." for name in model.classifier_names) if anew else ()
    wanted = {k: v for k, v in model.state_dict().items() if not k.startswith(heads)}
    if cfg["input_size"][0] != model.in_chans:
        stem = wanted["conv1.weight"]
        wanted["conv1.weight"] = stem.new_empty((len(stem), cfg["input_size"][0], *stem.shape[2:]), device="meta")
    read = {k: v for k, v in state.items() if not k.startswith(heads)}
    what = repository.source_of(cfg) if cfg.get("source") else cfg.get("file") or "the weights given"
    checkpoint.check_entries(read, wanted, str(what), known=())
    return state


@register_model
def scalenet(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """A network of any architecture: ``arch=`` an Arch, dict, JSON path, registered name or hrnet_wN; ``task=``."""
    return _create("scalenet", pretrained, **kwargs)


@register_model
def scalenet_s0(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-S0, this project's own, 360x480: CamVid's 11 classes, or with the tag ``person`` people."""
    return _create("scalenet_s0", pretrained, **kwargs)


@register_model
def scalenet_p0(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P0, this project's own: COCO's 17 joints of one person in everyday scenes, 256x192."""
    return _create("scalenet_p0", pretrained, **kwargs)


@register_model
def scalenet_s1(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-S1: 1024x2048, 25,349,139 parameters, 285.116 GMACs, reported 80.5 mIoU on Cityscapes val."""
    return _create("scalenet_s1", pretrained, **kwargs)


@register_model
def scalenet_s2(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-S2: 1024x2048, 28,502,419 parameters, 332.302 GMACs, reported 81.1 mIoU on Cityscapes val."""
    return _create("scalenet_s2", pretrained, **kwargs)


@register_model
def scalenet_s3(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-S3: 1024x2048, 58,501,555 parameters, 617.639 GMACs, reported about 81.9 mIoU on Cityscapes val."""
    return _create("scalenet_s3", pretrained, **kwargs)


@register_model
def scalenet_s4(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-S4: 1024x2048, 67,549,843 parameters, 723.259 GMACs, reported 82.0 mIoU on Cityscapes val."""
    return _create("scalenet_s4", pretrained, **kwargs)


@register_model
def scalenet_p1(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P1: 256x192, 28,483,633 parameters, 7.460 GMACs, reported about 74.9 AP on COCO val."""
    return _create("scalenet_p1", pretrained, **kwargs)


@register_model
def scalenet_p2(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P2: 256x192, 35,614,321 parameters, 8.604 GMACs, reported 75.2 AP on COCO val."""
    return _create("scalenet_p2", pretrained, **kwargs)


@register_model
def scalenet_p3(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P3: 384x288, 26,167,729 parameters, 15.375 GMACs, reported 76.3 AP on COCO val."""
    return _create("scalenet_p3", pretrained, **kwargs)


@register_model
def scalenet_p4(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P4: 384x288, 64,279,649 parameters, 34.993 GMACs, reported 77.0 AP on COCO val."""
    return _create("scalenet_p4", pretrained, **kwargs)


@register_model
def scalenet_p0_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P0 under a HigherHRNet-style head, this project's own: 17 joints of everyone, 512x512."""
    return _create("scalenet_p0_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p1_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P1 under a HigherHRNet-style head: everyone in a 512x512 image at once."""
    return _create("scalenet_p1_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p2_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P2 under a HigherHRNet-style head: everyone in a 512x512 image at once."""
    return _create("scalenet_p2_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p3_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P3 under a HigherHRNet-style head: everyone in a 512x512 image at once."""
    return _create("scalenet_p3_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p4_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P4 under a HigherHRNet-style head: everyone in a 512x512 image at once.

    Reported 71.6 AP on COCO test-dev, multi-scale test.
    """
    return _create("scalenet_p4_bottomup", pretrained, **kwargs)
