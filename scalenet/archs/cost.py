"""Parameters and multiply-adds of an architecture, counted from the architecture alone (nothing is built).

Everything that the architecture declares is counted, whether an output depends on it or not, as in the paper (whose
"GFLOPs" are multiply-adds / 2**30). Only convolutions count as multiply-adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .arch import Arch, ArchError, ModuleArch
from .tasks import Conv, TaskSpec, task_spec

MAX_PARAMETERS = 1 << 30  # what a network may have: ten times the published supernets
MAX_CONVOLUTIONS = 1 << 14


@dataclass(frozen=True)
class Cost:
    """Parameters, and convolution multiply-adds for one image."""

    params: int
    macs: int


def count(
    arch: Arch,
    size: tuple[int, int] | None = None,
    *,
    task: str | None = None,
    outputs: int | None = None,
    in_chans: int = 3,
) -> Cost:
    """Cost of ``arch`` on one (H, W) image.

    Args:
        size: (H, W) in pixels; default the architecture's ``input_size``.
        task: "segmentation", "pose" or "bottomup"; default the architecture's.
        outputs: classes or keypoints; default 19 or 17; 0 counts no classifier.

    Raises:
        ValueError: for an unknown task.
    """
    h, w = size or arch.input_size
    spec = task_spec(task or arch.task)
    outputs = spec.default_outputs if outputs is None else outputs
    params = macs = 0
    for c in _convs(arch, spec, outputs, in_chans):
        weights = c.cin * c.cout * c.kernel**2
        params += weights + c.cout * (int(c.bias) + 2 * int(c.norm))
        macs += weights * -(-h // 2**c.level) * -(-w // 2**c.level)
    return Cost(params, macs)


def normalized_channels(arch: Arch, task: str, outputs: int) -> int:
    """Total number of channels of all BatchNorm layers."""
    return sum(c.cout for c in _convs(arch, task_spec(task), outputs, 3) if c.norm)


def check_size(arch: Arch) -> None:
    """Refuse an architecture that exceeds the size limits, before anything is built.

    Raises:
        ArchError: with the limit that is exceeded.
    """
    total, spec = 0, task_spec(arch.task)
    for number, c in enumerate(_convs(arch, spec, spec.default_outputs, 3)):
        total += c.cin * c.cout * c.kernel**2
        if total > MAX_PARAMETERS:
            raise ArchError(f"an architecture of more than {MAX_PARAMETERS:,} parameters is not built")
        if number > MAX_CONVOLUTIONS:
            raise ArchError(f"an architecture of more than {MAX_CONVOLUTIONS:,} convolutions is not built")


def _convs(arch: Arch, spec: TaskSpec, outputs: int, in_chans: int) -> Iterator[Conv]:
    yield Conv(in_chans, arch.stem_width, 3, 1)
    yield Conv(arch.stem_width, arch.stem_width, 3, 2)
    yield from _stage1(arch)
    wide = 4 * arch.stage1_width
    yield Conv(wide, arch.width, 3, 2)
    yield Conv(wide, 2 * arch.width, 3, 3)
    for stage, index, module in arch.modules():
        if stage > 2 and index == 0:
            yield Conv(arch.width << (stage - 2), arch.width << (stage - 1), 3, stage + 1)
        yield from _module(arch.width, module)
    yield from spec.head_convs(arch.width, outputs)


def _stage1(arch: Arch) -> Iterator[Conv]:
    planes, wide = arch.stage1_width, 4 * arch.stage1_width
    if arch.stem_width != wide:
        yield Conv(arch.stem_width, wide, 1, 2)
    for cin in (arch.stem_width, wide, wide, wide):
        yield from (Conv(cin, planes, 1, 2), Conv(planes, planes, 3, 2), Conv(planes, wide, 1, 2))


def _module(width: int, module: ModuleArch) -> Iterator[Conv]:
    for j, depth in enumerate(module.depths):
        yield from [Conv(width << j, width << j, 3, 2 + j)] * (2 * depth)
        for sources in module.fusions[j]:
            for k in sources:
                if k > j:
                    yield Conv(width << k, width << j, 1, 2 + k)
                    continue
                for level in range(k + 1, j):
                    yield Conv(width << k, width << k, 3, 2 + level)
                yield Conv(width << k, width << j, 3, 2 + j)
