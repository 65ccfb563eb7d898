"""Architectures and search spaces as plain values, free of torch (ScaleNAS sections 3.1 and 3.2).

Terms used throughout the package: a network has stages 2, 3, 4 with 2, 3, 4 *branches* (branch i works at
stride 4 * 2**i and has width * 2**i channels); a stage is a sequence of *modules*; a branch of a module has a
*depth* (number of basic blocks); after block d, *fusion step* d adds to each target branch the enabled
*sources* (other branches of the same module).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .module_arch import MAX_DEPTH, ArchError, ModuleArch, checked_list, whole_number

TASKS = ("segmentation", "pose")
STAGE_BRANCHES = (2, 3, 4)
PUBLISHED_INPUT = {"segmentation": (1024, 2048), "pose": (256, 192)}  # (H, W) that costs are told at
SUPERNET = "supernet"  # the name of an architecture that holds a whole space
MAX_MODULES = 32  # bounds on what a file may ask for, far above any published network
MAX_WIDTH = 1024
MAX_INPUT = 16384
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Arch:
    """A network architecture: frozen, hashable and canonical (sources sorted, without the branch itself).

    Args:
        task: "segmentation" or "pose", for which the architecture was searched.
        width: channels of branch 0.
        stages: modules of stages 2, 3 and 4.
        input_size: (H, W) in pixels, at which cost and metrics are given.
        name: a label; like ``input_size``, it is not part of the digest.
        stem_width: channels of the two stem convolutions.
        stage1_width: planes of the four Bottleneck blocks (their output is 4x as wide).

    Raises:
        ArchError: if a field is malformed or out of bounds.
    """

    task: str
    width: int
    stages: tuple[tuple[ModuleArch, ...], ...]
    input_size: tuple[int, int]
    name: str = ""
    stem_width: int = 64
    stage1_width: int = 64

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ArchError(f"task must be one of {', '.join(TASKS)}, got {str(self.task)[:40]!r}")
        if not isinstance(self.name, str):
            raise ArchError("name must be text")
        for field in ("width", "stem_width", "stage1_width"):
            object.__setattr__(self, field, whole_number(getattr(self, field), 1, MAX_WIDTH, field))
        size = checked_list(self.input_size, 2, "input_size [h, w]")
        object.__setattr__(self, "input_size", tuple(whole_number(s, 1, MAX_INPUT, "input_size") for s in size))
        stages = checked_list(self.stages, len(STAGE_BRANCHES), "stages")
        for branches, modules in zip(STAGE_BRANCHES, stages, strict=True):
            if not 1 <= len(checked_list(modules, None, "a stage")) <= MAX_MODULES:
                raise ArchError(f"a stage must have 1 to {MAX_MODULES} modules, got {len(modules)}")
            for module in modules:
                if not isinstance(module, ModuleArch) or len(module.depths) != branches:
                    raise ArchError(f"a module of stage {branches} must have {branches} branches")
        object.__setattr__(self, "stages", tuple(tuple(modules) for modules in stages))

    # -- reading and writing -------------------------------------------------------------------------
    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Arch:
        """Read the JSON form (see ``to_dict``). Unknown or missing keys raise :class:`ArchError`."""
        if not isinstance(data, Mapping):
            raise ArchError(f"an architecture must be a JSON object, got {type(data).__name__}")
        required, optional = {"task", "width", "input_size", "stages"}, {"name", "stem_width", "stage1_width"}
        missing, unknown = required - set(data), set(data) - required - optional
        if missing or unknown:
            text = [f"missing {', '.join(sorted(missing))}"] if missing else []
            text += [f"unknown {', '.join(sorted(map(str, unknown)))[:80]}"] if unknown else []
            raise ArchError(f"not an architecture: {'; '.join(text)}")
        stages = checked_list(data["stages"], len(STAGE_BRANCHES), "stages")
        for modules in stages:
            if not 1 <= len(checked_list(modules, None, "a stage")) <= MAX_MODULES:
                raise ArchError(f"a stage must have 1 to {MAX_MODULES} modules, got {len(modules)}")
        parsed = tuple(
            tuple(cls._module(module, branches) for module in modules)
            for branches, modules in zip(STAGE_BRANCHES, stages, strict=True)
        )
        return cls(**{**data, "stages": parsed})

    @staticmethod
    def _module(data: Any, branches: int) -> ModuleArch:
        if not isinstance(data, Mapping) or set(data) != {"depths", "fusions"}:
            raise ArchError(f"a module must have the keys depths and fusions, got {str(data)[:60]}")
        depths = tuple(checked_list(data["depths"], branches, f"depths of a stage-{branches} module"))
        return ModuleArch(depths, data["fusions"])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: plain lists, numbers and strings."""
        return {
            "name": self.name,
            "task": self.task,
            "width": self.width,
            "stem_width": self.stem_width,
            "stage1_width": self.stage1_width,
            "input_size": list(self.input_size),
            "stages": [
                [{"depths": list(m.depths), "fusions": [[list(s) for s in row] for row in m.fusions]} for m in modules]
                for modules in self.stages
            ],
        }

    @classmethod
    def from_json(cls, text: str) -> Arch:
        """Read an architecture from JSON text."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise ArchError(f"not JSON: {str(e)[:80]}") from None
        return cls.from_dict(data)

    def to_json(self) -> str:
        """Canonical JSON text; ``Arch.from_json(a.to_json()) == a``."""
        return json.dumps(self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Arch:
        """Read an architecture file.

        Raises:
            FileNotFoundError: if there is no such file.
            ArchError: if it is too large or not an architecture; the message names the file.
        """
        path = Path(path)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ArchError(f"{path}: too large for an architecture (over {MAX_FILE_BYTES} bytes)")
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (ArchError, UnicodeDecodeError) as e:
            raise ArchError(f"{path}: {e}") from None

    # -- views ---------------------------------------------------------------------------------------
    @property
    def digest(self) -> str:
        """16 hex digits that identify the structure, independent of name and input size."""
        data = {k: v for k, v in self.to_dict().items() if k not in ("name", "input_size")}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def modules(self) -> Iterator[tuple[int, int, ModuleArch]]:
        """All modules as (stage 2..4, index in the stage, module)."""
        for stage, modules in enumerate(self.stages, start=2):
            for index, module in enumerate(modules):
                yield stage, index, module

    def contains(self, other: Arch) -> bool:
        """Whether ``other`` is a sub-network: the same widths, and a subset of the blocks and paths."""
        same = all(getattr(self, k) == getattr(other, k) for k in ("width", "stem_width", "stage1_width"))
        return same and all(
            len(mine) == len(theirs) and all(a.contains(b) for a, b in zip(mine, theirs, strict=True))
            for mine, theirs in zip(self.stages, other.stages, strict=True)
        )

    def replace(self, **changes: Any) -> Arch:
        """A copy with the given fields replaced."""
        return replace(self, **changes)

    @classmethod
    def hrnet(cls, width: int, task: str = "segmentation", input_size: tuple[int, int] | None = None) -> Arch:
        """HRNet as an architecture: depth 4 everywhere, full fusion after the last step only."""
        return SearchSpace(task, width, input_size or PUBLISHED_INPUT[task]).hrnet()


@dataclass(frozen=True)
class SearchSpace:
    """All architectures with given widths, modules per stage and a range of depths (paper: 2..5, 26 depths, 310 bits).

    Args:
        task, width, input_size, stem_width, stage1_width: as in :class:`Arch`.
        modules: modules in stages 2, 3 and 4.
        depths: smallest and largest depth of a branch.
    """

    task: str
    width: int
    input_size: tuple[int, int]
    stem_width: int = 64
    stage1_width: int = 64
    modules: tuple[int, int, int] = (1, 4, 3)
    depths: tuple[int, int] = (2, 5)

    def __post_init__(self) -> None:
        low, high = self.depths
        if not 1 <= low <= high <= MAX_DEPTH:
            raise ArchError(f"depths must be a range within 1 to {MAX_DEPTH}, got {self.depths}")

    @classmethod
    def around(cls, arch: Arch) -> SearchSpace:
        """The smallest search space that contains an architecture."""
        depths = [d for _, _, module in arch.modules() for d in module.depths]
        two, three, four = (len(stage) for stage in arch.stages)
        widths = (arch.stem_width, arch.stage1_width)
        return cls(arch.task, arch.width, arch.input_size, *widths, (two, three, four), (min(depths), max(depths)))

    def build(
        self,
        depth: Callable[[int, int, int], int],
        enabled: Callable[[int, int, int, int, int], bool],
        name: str = "",
    ) -> Arch:
        """An Arch from two rules: ``depth(stage, module, branch)``, ``enabled(stage, module, target, step, source)``.

        In the last module of a pose network branch 0 alone is read, so its last fusion takes every source and the
        other branches' last fusion takes none, whatever ``enabled`` says (paper section 3.2).
        """
        stages = tuple(
            tuple(ModuleArch.build(stage, partial(depth, stage, m), partial(enabled, stage, m)) for m in range(count))
            for stage, count in enumerate(self.modules, start=2)
        )
        arch = Arch(self.task, self.width, stages, self.input_size, name, self.stem_width, self.stage1_width)
        return self.settle(arch)

    def settle(self, arch: Arch) -> Arch:
        """The same architecture with the pose rule for the last module applied (segmentation: unchanged)."""
        if self.task != "pose":
            return arch
        last = arch.stages[-1][-1]
        ends = [tuple(range(1, len(last.depths)))] + [()] * (len(last.depths) - 1)
        fusions = tuple((*row[:-1], end) for row, end in zip(last.fusions, ends, strict=True))
        stage = (*arch.stages[-1][:-1], ModuleArch(last.depths, fusions))
        return arch.replace(stages=(*arch.stages[:-1], stage))

    def sample(self, rng: random.Random, depths: tuple[int, int] | None = None, fusion: float = 0.5) -> Arch:
        """Depths uniform in ``depths`` (default: the whole range), each fusion bit on with probability ``fusion``."""
        low, high = depths or self.depths
        return self.build(lambda *_: rng.randint(low, high), lambda *_: rng.random() < fusion)

    def largest(self) -> Arch:
        """Maximum depth, all fusions."""
        return self.build(lambda *_: self.depths[1], lambda *_: True, "largest")

    def smallest(self, rng: random.Random | None = None, fusion: float = 0.0) -> Arch:
        """Minimum depth; no fusion, or each bit on with a probability by ``rng`` (the paper's 0.1 for segmentation)."""
        return self.build(lambda *_: self.depths[0], lambda *_: rng is not None and rng.random() < fusion, "smallest")

    def supernet(self) -> Arch:
        """The supernet's architecture: every block and path, including those unused by the pose rule."""
        whole = replace(self, task="segmentation").largest()
        return whole.replace(task=self.task, name=SUPERNET)

    def hrnet(self, depth: int = 4) -> Arch:
        """The HRNet pattern in this space: one depth (or the nearest), full fusion after the last step."""
        depth = min(max(depth, self.depths[0]), self.depths[1])
        whole = replace(self, task="segmentation")
        arch = whole.build(lambda *_: depth, lambda s, m, j, d, k: d == depth - 1, f"hrnet_w{self.width}")
        return arch.replace(task=self.task)

    def validate(self, arch: Arch) -> Arch:
        """``arch`` itself if it belongs to this space.

        Raises:
            ArchError: naming the first thing that does not fit.
        """
        for field in ("task", "width", "stem_width", "stage1_width"):
            if getattr(arch, field) != getattr(self, field):
                raise ArchError(f"{field} {getattr(arch, field)} is outside the space ({getattr(self, field)})")
        counts = tuple(len(modules) for modules in arch.stages)
        if counts != tuple(self.modules):
            raise ArchError(f"modules per stage {counts} are outside the space {tuple(self.modules)}")
        for stage, index, module in arch.modules():
            for branch, depth in enumerate(module.depths):
                if not self.depths[0] <= depth <= self.depths[1]:
                    raise ArchError(
                        f"depth {depth} of stage {stage}, module {index}, branch {branch} is outside "
                        f"{self.depths[0]}..{self.depths[1]}"
                    )
        return arch

    def __contains__(self, arch: object) -> bool:
        try:
            return isinstance(arch, Arch) and bool(self.validate(arch))
        except ArchError:
            return False

    @property
    def free_depths(self) -> int:
        """Number of depth choices (26 in the published space)."""
        return sum(n * b for n, b in zip(self.modules, STAGE_BRANCHES, strict=True))

    @property
    def free_bits(self) -> int:
        """Number of fusion bits at full depth (310 in the published space)."""
        return sum(n * b * (b - 1) * self.depths[1] for n, b in zip(self.modules, STAGE_BRANCHES, strict=True))
