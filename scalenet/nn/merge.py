"""Fusion paths that read one branch, run together: the same sums by fewer and wider convolutions.

For networks in evaluation mode whose BatchNorm is folded, see :func:`scalenet.nn.fuse.fold`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..archs.execution import Fusions, Steps
from .blocks import Maps, MultiResolutionModule, add_up

if TYPE_CHECKING:
    from .network import ScaleNet

Path = tuple[int, int]  # target, source


def merge_paths(network: ScaleNet) -> ScaleNet:
    """A copy of a folded network that runs what its head reads and holds nothing else.

    The first convolutions of a fusion's paths that read one branch in one way, 1x1 to finer branches or 3x3 of stride 2
    to coarser ones, become one, whose channels are dealt out again. Weights that stay as they are are shared, not
    copied. A module that holds a hook is left as it is, so that the hook is called.
    """
    shared = {id(t): t for t in (*network.parameters(), *network.buffers())}
    network = copy.deepcopy(network, cast(dict[int, Any], shared))
    plan = network._execution.plan(network.head_branches)
    for n, stage in enumerate(plan.stages, start=2):
        modules = getattr(network, f"stage{n}")
        for i, steps in enumerate(stage):
            hooked = any(m._forward_hooks or m._forward_pre_hooks for m in modules[i].modules())
            if isinstance(modules[i], MultiResolutionModule) and not hooked:
                modules[i] = MergedModule(modules[i], steps)
    return network


class MergedModule(nn.Module):
    """What ``steps`` run of a module, its fusion paths merged."""

    def __init__(self, module: MultiResolutionModule, steps: Steps) -> None:
        super().__init__()
        self.steps = steps
        self.widths: dict[str, list[int]] = {}
        self.blocks, self.firsts, self.rests = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for d, (blocks, fusions) in enumerate(steps):
            self.blocks.update({f"{j}_{d}": module.branches[j][d] for j in blocks})
            for group in _groups(fusions):
                paths = [_layers(module.path(d, *path)) for path in group]
                firsts: list[Any] = [path[0] for path in paths]
                self.firsts[_name(d, group)] = _side_by_side(firsts)
                self.widths[_name(d, group)] = [conv.out_channels for conv in firsts]
                for (target, source), path in zip(group, paths, strict=True):
                    self.rests[f"{d}_{target}_{source}"] = nn.Sequential(*path[1:])

    def forward(self, maps: Maps, steps: Steps) -> Maps:
        """As :class:`~scalenet.nn.blocks.MultiResolutionModule` gives them.

        Raises:
            RuntimeError: for other steps than those it was made for.
        """
        if steps != self.steps:
            raise RuntimeError("this network was made ready for what its own head reads, and runs nothing else")
        maps = list(maps)
        for d, (blocks, fusions) in enumerate(steps):
            for j in blocks:
                maps[j] = self.blocks[f"{j}_{d}"](maps[j])
            parts = {path: y for group in _groups(fusions) for path, y in self._run(d, group, maps[group[0][1]])}
            fused = {j: add_up(maps[j], {k: parts[j, k] for k in sources}, j) for j, sources in fusions}
            for j, x in fused.items():
                maps[j] = x
        return maps

    def _run(self, d: int, group: list[Path], x: torch.Tensor) -> Iterator[tuple[Path, torch.Tensor]]:
        y = self.firsts[_name(d, group)](x)
        rests = [self.rests[f"{d}_{target}_{source}"] for target, source in group]
        if len(group) == 1:
            yield group[0], rests[0](y)
            return
        for path, rest, part in zip(group, rests, y.split(self.widths[_name(d, group)], 1), strict=True):
            yield path, rest(part)


def _groups(fusions: Fusions) -> list[list[Path]]:
    """Paths whose first convolutions read the same map in the same way."""
    groups: dict[tuple[int, bool], list[Path]] = {}
    for target, sources in fusions:
        for source in sources:
            groups.setdefault((source, source > target), []).append((target, source))
    return list(groups.values())


def _name(d: int, group: list[Path]) -> str:
    target, source = group[0]
    return f"{d}_{source}_{'finer' if source > target else 'coarser'}"


def _layers(path: nn.Module) -> list[nn.Module]:
    """A path's layers in running order, without what is left of folded ones."""
    return [m for m in path.modules() if not list(m.children()) and not isinstance(m, nn.Identity)]


def _side_by_side(convs: list[Any]) -> nn.Conv2d:
    """One convolution that gives the channels of all, one after another."""
    if len(convs) == 1:
        return convs[0]
    first, weight = convs[0], convs[0].weight
    made = nn.Conv2d(
        first.in_channels, sum(c.out_channels for c in convs), first.kernel_size, first.stride, first.padding,
        device=weight.device, dtype=weight.dtype,
    ).requires_grad_(False)  # fmt: skip
    made.weight = nn.Parameter(
        torch.cat([c.weight for c in convs]).contiguous(memory_format=torch.channels_last), False
    )
    made.bias = nn.Parameter(torch.cat([c.bias for c in convs]), False)
    return made
