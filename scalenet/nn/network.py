"""The multi-resolution network of an architecture (ScaleNAS section 3.1), one class for static networks and supernets.

A supernet is the network of the full architecture, of which a sub-network is *active*; a static network is built from
its own architecture. Parameter names and shapes follow the authors' code, and a static network's keys are a subset of
its supernet's. B batch, (H, W) input size, w width; branch i has w * 2**i channels at ceil(H / 2**(2+i)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.models._features import feature_take_indices
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..archs.arch import Arch, ArchError
from ..archs.cost import Cost, check_size, count
from ..archs.execution import Execution
from ..archs.tasks import task_spec
from ..data.labels import Labels
from .blocks import Maps, MultiResolutionModule, conv_bn, init_layers, quiet_residuals
from .heads import BottomUpOutput, Head, NoHead, make_head
from .layers import Bottleneck, relu

STAGE1_BLOCKS = 4


class ScaleNet(nn.Module):
    """A ScaleNAS network with a task head.

    Args:
        arch: the architecture; all of its blocks and paths get parameters.
        task: "segmentation", "pose" or "bottomup"; default the architecture's.
        num_classes: number of classes or keypoints; default 19 or 17; 0 removes the classifier.
        in_chans: number of input channels.
        labels: names of the outputs; ignored if their number does not match.
        weights_follow: skip the initialisation of the backbone, because its weights are loaded next.
        device, dtype: of the parameters; default torch's.

    ``model(x)`` with x (B, in_chans, H, W), any H and W: segmentation gives (B, classes, H, W) logits, pose
    (B, K, ceil(H/4), ceil(W/4)) heatmaps, bottom-up a :class:`~scalenet.nn.heads.BottomUpOutput`; with
    ``num_classes=0`` the pre-logits map (B, num_features, ceil(H/4), ceil(W/4)).

    Raises:
        ArchError: if the architecture exceeds the size limits.
        ValueError: for an unknown task.
    """

    conv1: nn.Conv2d
    pretrained_cfg: dict[str, Any]  # by timm

    def __init__(
        self,
        arch: Arch,
        task: str | None = None,
        num_classes: int | None = None,
        in_chans: int = 3,
        labels: Labels | Mapping[str, Any] | None = None,
        weights_follow: bool = False,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.spec = task_spec(arch.task if task is None else task)
        check_size(arch)
        self.arch, self.task, self.in_chans = arch, self.spec.name, in_chans
        self.num_classes = self.spec.default_outputs if num_classes is None else num_classes
        labels = Labels.from_dict(labels) if isinstance(labels, Mapping) else labels
        self.labels: Labels | None = None
        self.name_outputs(labels)
        self.num_features = self.head_hidden_size = self.spec.num_features(arch.width)
        self.feature_info: list[dict[str, Any]] = [
            {"num_chs": arch.width << i, "reduction": 4 << i, "module": f"branch{i}"} for i in range(4)
        ]
        self.grad_checkpointing = False
        device = torch.get_default_device() if device is None else torch.device(device)
        with torch.device("meta"):  # so that no parameter is initialised twice
            self._build()
        if device.type != "meta":
            self.to_empty(device=device)
            self.init_weights(backbone=not weights_follow)
        self.to(dtype=dtype)
        self.activate(arch)

    @property
    def _model_args(self) -> dict[str, Any]:
        """The keywords that timm stores with the weights, to rebuild the network."""
        return self.__dict__.get("_built_with", {})

    @_model_args.setter
    def _model_args(self, given: Mapping[str, Any]) -> None:
        plain = {"arch": self.arch.to_dict(), "labels": self.labels.to_dict() if self.labels else None}
        self.__dict__["_built_with"] = {**given, **{k: v for k, v in plain.items() if k in given}}

    def _build(self) -> None:
        arch, w = self.arch, self.arch.width
        self.conv1 = nn.Conv2d(self.in_chans, arch.stem_width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(arch.stem_width)
        self.conv2 = nn.Conv2d(arch.stem_width, arch.stem_width, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(arch.stem_width)
        wide = 4 * arch.stage1_width
        down = None
        if arch.stem_width != wide:
            down = conv_bn(arch.stem_width, wide, 1)
        first = Bottleneck(arch.stem_width, arch.stage1_width, downsample=down)
        self.layer1 = nn.Sequential(first, *(Bottleneck(wide, arch.stage1_width) for _ in range(STAGE1_BLOCKS - 1)))
        new = nn.Sequential(conv_bn(wide, 2 * w, 3, 2, activate=True))
        self.transition1 = nn.ModuleList([conv_bn(wide, w, 3, activate=True), new])
        for n, modules in enumerate(arch.stages, start=2):
            setattr(self, f"stage{n}", nn.ModuleList(MultiResolutionModule(m, w) for m in modules))
            if n < 4:
                new = nn.Sequential(conv_bn(w << (n - 1), w << n, 3, 2, activate=True))
                passed = [nn.Identity() for _ in range(n)]
                setattr(self, f"transition{n}", nn.ModuleList([*passed, new]))
        setattr(self, self.spec.head, make_head(self.task, w, self.num_classes))

    @property
    def head(self) -> Head:
        """The task head."""
        return getattr(self, self.spec.head)

    @property
    def classifier_names(self) -> tuple[str, ...]:
        """Modules that depend on the number of classes or keypoints."""
        return self.spec.classifiers

    def init_weights(self, backbone: bool = True) -> None:
        """He-normal convolutions, BatchNorm at identity, output layers near zero.

        Args:
            backbone: with False, only the head is touched.
        """
        init_layers(self if backbone else self.head)
        if backbone:
            quiet_residuals(self)
        self._init_classifier()

    def _init_classifier(self) -> None:
        for name in self.classifier_names:
            layer = self.get_submodule(name)
            init_layers(layer)
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=self.spec.classifier_std)

    def cost(self, size: tuple[int, int] | None = None) -> Cost:
        """Parameters, and multiply-adds for one (H, W) image; default the architecture's ``input_size``."""
        return count(self.arch, size, task=self.task, outputs=self.num_classes, in_chans=self.in_chans)

    # -- which sub-network runs ------------------------------------------------------------------------
    def activate(self, arch: Arch) -> None:
        """Make ``arch`` the sub-network that runs.

        Raises:
            ArchError: if it has a block or path that this network lacks.
        """
        if not self.arch.contains(arch):
            raise ArchError(f"{arch.name or arch.digest} is no sub-network of {self.arch.name or self.arch.digest}")
        execution = Execution(arch)
        execution.plan(self.head_branches)
        self._execution = execution

    @property
    def active(self) -> Arch:
        """The active sub-network."""
        return self._execution.arch

    @contextmanager
    def activated(self, arch: Arch) -> Iterator[ScaleNet]:
        """Context manager: :meth:`activate` a sub-network within a ``with`` block."""
        before = self.active
        self.activate(arch)
        try:
            yield self
        finally:
            self.activate(before)

    @property
    def head_branches(self) -> tuple[int, ...]:
        """Indices of the branches that the head reads."""
        return self.spec.branches

    # -- running -----------------------------------------------------------------------------------------
    def forward_branches(self, x: torch.Tensor, outputs: tuple[int, ...] = (0, 1, 2, 3)) -> Maps:
        """The four branches (B, w * 2**i, h_i, w_i); those not in ``outputs`` may be incomplete or None."""
        plan = self._execution.plan(outputs)
        x = relu(self.bn1(self.conv1(x)))
        x = relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        maps: Maps = [self.transition1[0](x)]
        for n, modules in enumerate(plan.stages, start=2):
            new = getattr(self, f"transition{n - 1}")[n - 1]
            maps.append(new(x if n == 2 else maps[-1]) if n in plan.begun else None)
            for module, steps in zip(getattr(self, f"stage{n}"), modules, strict=True):
                if self.grad_checkpointing and torch.is_grad_enabled():
                    maps = checkpoint(module, maps, steps, use_reentrant=False)
                else:
                    maps = module(maps, steps)
        return maps

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, num_features, ceil(H/4), ceil(W/4)): the head's branches, resized to stride 4 and concatenated."""
        return self._gather(self.forward_branches(x, self.head_branches))

    def _gather(self, maps: Maps) -> torch.Tensor:
        finest, *others = (maps[i] for i in self.head_branches)
        if not others:
            return finest
        size = finest.shape[-2:]
        ups = [F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in others]
        return torch.cat([finest, *ups], 1)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor | BottomUpOutput:
        """The head's outputs for ``forward_features``, at stride 4 (bottom-up: also 2)."""
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor | BottomUpOutput:
        """The outputs of (B, in_chans, H, W) images, see the class."""
        size = x.shape[-2:]
        outputs: Any = self.forward_head(self.forward_features(x))
        if self.spec.full_size and self.num_classes:
            return F.interpolate(outputs, size=size, mode="bilinear", align_corners=False)
        return outputs

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """timm's feature interface: the branches of ``indices`` (strides 4, 8, 16, 32).

        Unless ``intermediates_only``, returns (``forward_features``, maps). ``norm`` and ``stop_early`` have no effect.

        Raises:
            ValueError: for an ``output_fmt`` other than NCHW.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be NCHW, got {output_fmt!r}")
        take, _ = feature_take_indices(4, indices)
        wanted = set(take) if intermediates_only else set(take).union(self.head_branches)
        maps = self.forward_branches(x, tuple(sorted(wanted)))
        intermediates = [maps[i] for i in take]
        if intermediates_only:
            return intermediates
        return self._gather(maps), intermediates

    # -- timm's handles ----------------------------------------------------------------------------------
    def get_classifier(self) -> nn.Module:
        """The last layer; for bottom-up the whole head, of which several layers depend on K."""
        return self.get_submodule(self.spec.classifier)

    def name_outputs(self, labels: Labels | None) -> None:
        """Set the names of the outputs; ignored if their number does not match."""
        self.labels = labels if labels is not None and len(labels.names) == self.num_classes else None

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a randomly initialised one with ``num_classes`` outputs (0: none)."""
        if global_pool:
            raise ValueError("a dense network has no global_pool")
        self.num_classes, self.labels = num_classes, None
        reference = self.conv1.weight
        setattr(self, self.spec.head, self.head.with_outputs(num_classes))
        self.head.to(reference.device, reference.dtype)
        if not reference.is_meta:
            self._init_classifier()

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove the head, which ``features_only`` does not use; returns the indices as non-negative numbers."""
        take, _ = feature_take_indices(4, indices)
        if prune_head:
            self.reset_classifier(0)
            setattr(self, self.spec.head, NoHead(partial(make_head, self.task, self.arch.width)))
        return take

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's parameter groups by depth, for layer-wise learning rates and freezing; the head comes last."""
        blocks = [(r"^layer1\.(\d+)", (1,)), (r"^stage(\d+)\.(\d+)", None), (r"^transition(\d+)", (99_999,))]
        return {"stem": r"^(?:conv|bn)[12]\.", "blocks": r"^(?:layer|stage|transition)(\d+)" if coarse else blocks}

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Names excluded from weight decay: none. timm excludes biases and BatchNorm by their shape."""
        return set()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each module's activations in the backward pass instead of storing them."""
        self.grad_checkpointing = enable
