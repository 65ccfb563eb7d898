"""timm's doors: entrypoints and default cfgs of the published networks and this project's own.

``import scalenet`` registers everything below with timm. "Reported" figures are the paper's; parameters and
multiply-adds are counted from the encodings (:mod:`scalenet.cost`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from . import repository, table, weights
from .arch import Arch, ArchError
from .network import ScaleNet
from .provenance import mark
from .repository import PREFIX
from .table import encoding_file
from .tasks import task_spec

NO_ENCODING = f"{PREFIX} alone names no network: give one of scalenet list, or a file of weights"
SOURCES = ("file", "url", "hf_hub_id", "state_dict")  # where a cfg may have weights from


def _cfg(entry: table.Entry) -> dict[str, Any]:
    return {
        "file": str(entry.path) if entry.is_file else None,
        "hf_hub_id": entry.hub_id,
        "num_classes": len(entry.labels.names),
        "input_size": (3, *entry.input_size),
        **weights.network_cfg(entry.task),
        **entry.recipe,
        "license": entry.license,
    }


default_cfgs = generate_default_cfgs({f"{e.name}.{e.tag}": _cfg(e) for e in table.TABLE} | {"scalenet": {
    "num_classes": -1, "input_size": (3, 256, 256), "pool_size": None, "first_conv": "conv1", "classifier": None,
    **table.INPUT,
}})  # fmt: skip


def resolve_arch(arch: Arch | Mapping[str, Any] | str | Path, task: str | None = None) -> Arch:
    """An encoding from an Arch, its dict, a JSON path, a registered name, or ``hrnet_wN``.

    HRNet is two encodings by one name: for segmentation, or, if ``task`` is another, for pose.

    Raises:
        ArchError: if it is none of these.
    """
    if isinstance(arch, Arch):
        return arch
    if isinstance(arch, Mapping):
        return Arch.from_dict(arch)
    text = str(arch)
    if text.startswith("hrnet_w") and text[7:].isdigit():
        return Arch.hrnet(int(text[7:]), task_spec(task or "segmentation").encoding)
    if text.startswith(f"{PREFIX}_") and (named := encoding_file(text)).is_file():
        return Arch.load(named)
    if Path(text).is_file():
        return Arch.load(text)
    raise ArchError(f"arch: an encoding, its dict, a JSON file, a registered name or hrnet_wN, not {text[:60]!r}")


def _create(
    variant: str, pretrained: bool, arch: Arch | Mapping[str, Any] | str | Path | None = None, **kwargs: Any
) -> ScaleNet:
    """Build through timm. Keywords that neither timm nor :class:`ScaleNet` knows raise TypeError there."""
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
        cfg = weights.plain_cfg(arch, kwargs.get("task"), kwargs.get("num_classes"))
        if pretrained and not any(overlay.get(k) for k in SOURCES):
            raise weights.NoWeights(
                "no weights are published for an encoding of your own; convert a checkpoint (scalenet convert FILE.pth "
                f"--arch FILE.json); or {weights.TRAIN}; or {weights.OWN_WEIGHTS}"
            )
    entry = table.find(variant, cfg)
    if entry and "labels" not in kwargs and kwargs.get("num_classes") in (None, len(entry.labels.names)):
        kwargs["labels"] = entry.labels
    published = entry and pretrained and not any(overlay.get(k) for k in SOURCES)
    if published:
        overlay |= weights.source(entry, kwargs.get("cache_dir"))
    model = build_model_with_cfg(
        ScaleNet, variant, pretrained, cfg, overlay, arch=arch, weights_follow=bool(pretrained),
        pretrained_filter_fn=_whole, feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}, **kwargs,
    )  # fmt: skip
    if published and isinstance(model, ScaleNet):
        known = entry.metadata(weights.read_metadata(overlay["file"]))
        same = model.labels == entry.labels and model.in_chans == 3
        mark(model, known if same else replace(known.without_metrics(), network=""))
    return model


def _whole(state: dict[str, torch.Tensor], model: ScaleNet) -> dict[str, torch.Tensor]:
    """A filter of what timm reads; under a new classifier, or none, timm lets entries be missing, this does not."""
    anew = tuple(f"{name}." for name in model.classifier_names)
    missing = [k for k in model.state_dict() if k not in state and not k.startswith(anew)]
    if missing:
        raise weights.WeightsError(f"the weights lack {len(missing)} entries, the first is {missing[0]}")
    return state


@register_model
def scalenet(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """A network of any encoding: ``arch=`` an Arch, dict, JSON path, registered name or hrnet_wN; ``task=``."""
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
    """ScaleNet-P1 under a HigherHRNet-style head: everyone in a 512x512 picture at once."""
    return _create("scalenet_p1_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p2_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P2 under a HigherHRNet-style head: everyone in a 512x512 picture at once."""
    return _create("scalenet_p2_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p3_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P3 under a HigherHRNet-style head: everyone in a 512x512 picture at once."""
    return _create("scalenet_p3_bottomup", pretrained, **kwargs)


@register_model
def scalenet_p4_bottomup(pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """ScaleNet-P4 under a HigherHRNet-style head: everyone in a 512x512 picture at once.

    Reported 71.6 AP on COCO test-dev, multi-scale test.
    """
    return _create("scalenet_p4_bottomup", pretrained, **kwargs)


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> ScaleNet:
    """``timm.create_model`` for this package's networks, with hints for unknown names.

    Args:
        name: a registered name, with or without a tag ("scalenet_s0.camvid"), "hf-hub:user/repo", "local-dir:path".
        pretrained: load the published weights; downloads only where the weights are not in the package.
        kwargs: ``num_classes``, ``in_chans``, ``features_only``, ``out_indices``, ``checkpoint_path``, ``arch``…

    Raises:
        LookupError: for an unknown name (naming the nearest), a repository of another project's network, or
            :class:`scalenet.NoWeights`.
        OSError: for a repository, folder or ``checkpoint_path`` that cannot be read.
        WeightsError, ArchError: for one that is damaged or another network's, or a pickled checkpoint.
        TypeError: for an unknown keyword.
    """
    cache_dir = kwargs.get("cache_dir")
    if ":" in name:
        repository.check_config(name, cache_dir)
    else:
        check_name(name)
    path = kwargs.get("checkpoint_path")
    overlay = dict(kwargs.pop("pretrained_cfg_overlay", None) or {})
    known = weights.read_metadata(path) if path else None
    if path and kwargs.get("features_only"):  # timm would look for the file's names in the wrapped network
        pretrained, kwargs["checkpoint_path"] = True, ""
        overlay["file"] = str(path)
    elif pretrained and ":" in name:
        overlay |= repository.safe_weights(name)
    try:
        model = timm.create_model(name, pretrained=pretrained, pretrained_cfg_overlay=overlay or None, **kwargs)
    except LocalEntryNotFoundError:  # not reached, and not kept
        raise
    except EntryNotFoundError as e:
        raise weights.WeightsError(f"{name} has no {repository.SAFE}; {weights.ONLY_CONVERT}") from e
    except (SafetensorError, RuntimeError) as e:
        if isinstance(e, weights.NoWeights) or not (pretrained or path):
            raise
        what = path or name
        raise weights.WeightsError(f"{what}: its weights are damaged or another network's ({str(e)[:120]})") from e
    if isinstance(model, ScaleNet) and known is not None:
        if known.labels is not None and "labels" not in kwargs:
            model.name_outputs(known.labels)
        weights.adopt(model, known)
    elif isinstance(model, ScaleNet) and pretrained and ":" in name:
        mark(model, *repository.recorded_metadata(name, cache_dir))
    return model


def check_name(name: str) -> tuple[str, str]:
    """(name, tag) of a registered name; the tag is "" where none is given.

    Raises:
        LookupError: for an unknown name (naming the nearest) or tag.
        WeightsError: for the name of a pickled file.
    """
    weights.refuse_pickled(name)
    base, _, tag = name.partition(".")
    known = timm.list_models(f"{PREFIX}*")
    if base not in known and Path(name).is_dir():
        raise LookupError(f"unknown model {name!r}; of a folder, say local-dir:{name}")
    if base not in known:
        raise LookupError(f"unknown model {name!r}{_hint(base, known)}")
    tags = [e.tag for e in table.TABLE if e.name == base]
    if tag and tag not in tags:
        raise LookupError(f"unknown tag {tag!r} of {base}; there is {', '.join(tags) or 'none'}")
    return base, tag


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else f"; choose from {', '.join(known)}"


def list_models(pattern: str | None = None, pretrained: bool = False) -> list[str]:
    """Registered names of this package, by wildcard; with ``pretrained`` only those with weights, tags included."""
    names = timm.list_models(pattern or f"{PREFIX}*", pretrained=pretrained)
    return [n for n in names if n.startswith(PREFIX)]
