"""A family of networks for every budget, stored in one file (:mod:`.front_file`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..archs.arch import Arch, ArchError
from ..archs.budget import Budget, BudgetError, Limit, short_count
from ..archs.cost import count, normalized_channels
from ..archs.tasks import TaskSpec, task_spec
from ..models.checkpoint import (
    WeightsError,
    described_model,
    hub_file,
    read_metadata,
    read_weights,
    select,
)  # fmt: skip
from ..models.metadata import Metrics, read_metrics
from ..models.names import parse_name
from ..models.pretrained import find_entry
from ..models.provenance import mark
from ..nn.network import ScaleNet
from .front_file import content_digest, read_members, split_statistics, statistics_name

MAX_MEMBERS = 256
HUB_FILE = "front.safetensors"
BUILD = "build one from a search's archive: python -m search front, from a checkout"


@dataclass(frozen=True)
class Member:
    """One network of a front.

    Args:
        arch: its architecture; ``input_size`` is the (H, W) at which it runs and was measured.
        metrics: measured on the front's file, data set -> split -> metric, fractions 0..1.
        macs: convolution multiply-adds at its input size.
        params: number of parameters.
        score: the metric that ranks the front; None if it was not measured.
    """

    arch: Arch
    metrics: Metrics
    macs: int
    params: int
    score: float | None

    @property
    def name(self) -> str:
        """Its name in the front: a prefix of the digest, and the input size."""
        h, w = self.arch.input_size
        return f"{self.arch.digest[:8]}@{h}x{w}"


def front_file(source: str | Path) -> Path:
    """Path of a front's file, from a path, a registered name, "hf-hub:user/name[@revision]" or "local-dir:folder".

    Raises:
        LookupError: for an unknown name, or one without a published front.
        OSError: if a file or repository cannot be read.
    """
    name = parse_name(source)
    if name.kind == "file":
        return Path(name.place)
    if name.kind == "folder":
        return Path(name.place) / HUB_FILE
    if name.kind == "hub":
        return hub_file(name.place, HUB_FILE, name.revision)
    entry = find_entry(name.place, name.tag)
    if entry is None or not entry.front.is_file():
        raise LookupError(f"no front is published for {name}, only one network; {BUILD}")
    return entry.front


class Front:
    """A Pareto front of networks in one file: one for every budget.

    Args:
        source: a front file, a registered name with a front in this package, "hf-hub:user/name[@revision]" or
            "local-dir:folder".

    Attributes:
        name, label: the source as it was given, and without folders and suffix.
        path: the file.
        members: the networks, sorted by multiply-adds.
        metadata: metadata of the shared weights.
        metric: name of the metric that ranks them.

    Raises:
        LookupError: for an unknown name, or one without a front.
        FileNotFoundError, WeightsError: if the file is missing, damaged, modified, or not a front.
    """

    def __init__(self, source: str | Path) -> None:
        self.name, self.label, self.path = str(source), parse_name(source).label, front_file(source)
        self._weights, header = read_weights(self.path)
        if "front" not in header:
            raise WeightsError(f"{self.path} holds one network and is no front; {BUILD}")
        self.metadata = read_metadata(self.path)
        try:
            said = read_members(header["front"])
            self.metric, self.digest = str(said["metric"])[:80], content_digest(self._weights, header)
            if header.get("content") != self.digest:
                raise ValueError("its content is not as it was written")
            members = self._read_members(said["members"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
            raise WeightsError(f"{self.path}: damaged front: {' '.join(str(e).split())[:200]}") from None
        self._place = {member.name: i for i, member in enumerate(members)}
        self.members = tuple(sorted(members, key=lambda m: (m.macs, m.params)))

    def _read_members(self, said: Any) -> tuple[Member, ...]:
        if not isinstance(said, list) or not 1 <= len(said) <= MAX_MEMBERS:
            raise ValueError(f"1 to {MAX_MEMBERS} members are needed")
        whole = self.metadata.arch
        if whole is None:
            raise ValueError("it does not say of which supernet it is")
        self.spec: TaskSpec = task_spec(self.metadata.task or whole.task)
        self._outputs = described_model(self._weights, whole, self.metadata).num_classes
        members = []
        for i, row in enumerate(said):
            arch = Arch.from_dict(row["arch"])
            if arch.task != whole.task or not whole.contains(arch):
                raise ArchError(f"member {i} is no sub-network of the supernet")
            self._check_statistics(i, arch)
            members.append(self._member(arch, read_metrics(row["metrics"])))
        if len({m.name for m in members}) < len(members):
            raise ValueError("it holds a member twice")
        return tuple(members)

    def _member(self, arch: Arch, metrics: Metrics) -> Member:
        cost = count(arch, task=self.spec.name, outputs=self._outputs)
        values = [metric[self.metric] for splits in metrics.values() for metric in splits.values()]
        return Member(arch, metrics, cost.macs, cost.params, values[0] if values else None)

    def _check_statistics(self, i: int, arch: Arch) -> None:
        values = self._weights[statistics_name(i)]
        wanted = 2 * normalized_channels(arch, self.spec.name, self._outputs)
        if values.shape != (wanted,) or values.dtype != torch.float32 or not values.isfinite().all():
            raise ValueError(f"member {i} needs {wanted} finite BatchNorm statistics")

    # -- choosing --------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, name: str) -> Member:
        """The member with this :attr:`Member.name`, or a unique prefix of it.

        Raises:
            LookupError: if there is none, or more than one.
        """
        found = [m for m in self.members if m.name.startswith(name)]
        if len(found) != 1:
            known = ", ".join(m.name for m in self.members)
            raise LookupError(f"{len(found)} members of {self.name} begin with {name[:40]!r}; there are {known}")
        return found[0]

    @property
    def best(self) -> Member:
        """The member with the highest score; on a tie the one with fewest multiply-adds."""
        return max(self.members, key=_rank)

    def pick(
        self,
        *,
        max_macs: Limit | None = None,
        max_params: Limit | None = None,
        max_latency_ms: Limit | None = None,
        device: str | torch.device | None = None,
        engine: str = "torch",
        dtype: str | None = None,
    ) -> Member:
        """The best member within all given limits.

        Args:
            max_macs, max_params: numbers or strings, 1.5e9 or "1.5G".
            max_latency_ms: time of the network alone for one image, 8 or "8ms"; a few members are timed on ``device``,
                and the times are cached.
            device: default: the first available of cuda, mps and cpu that the engine supports.
            engine, dtype: inference engine and precision to time in, as in the predictors.

        Raises:
            BudgetError: for an invalid limit, or one that even the smallest member exceeds (with what it needs).
            EngineError, ImportError: if the engine cannot run them, or its package is missing.
        """
        budget = Budget.of(max_macs, max_params, max_latency_ms)
        fit: Sequence[Member] = [m for m in self.members if budget.allows(m.macs, m.params)]
        if not fit:
            raise BudgetError(self._too_small(budget))
        if budget.max_latency_ms is not None:
            from .latency import within

            fit = within(self, fit, budget.max_latency_ms, device, engine, dtype)
        return max(fit, key=_rank)

    def _too_small(self, budget: Budget) -> str:
        macs = min((m for m in self.members if budget.allows(0, m.params)), key=lambda m: m.macs, default=None)
        if macs is not None:
            need = f'max_macs="{short_count(macs.macs)}"'
        else:
            need = f'max_params="{short_count(min(m.params for m in self.members))}"'
        return f"no member of {self.name} is that small: the smallest needs {need}"

    def statistics(self, member: Member) -> torch.Tensor:
        """A member's BatchNorm statistics, as stored in the file."""
        return self._weights[statistics_name(self._place[member.name])]

    # -- using -----------------------------------------------------------------------------------------------
    def extract(self, member: Member | str | None = None) -> ScaleNet:
        """A member as a plain static network, float32 and in evaluation mode, independent of the front.

        Args:
            member: one of ``members`` or its name; default the best.

        Raises:
            LookupError: if it is no member.
            WeightsError: if an entry of its network is missing or has the wrong shape.
        """
        member = self.best if member is None else self[member] if isinstance(member, str) else member
        if member not in self.members:
            raise LookupError(f"{member.name} is no member of {self.name}")
        known = replace(self.metadata, arch=member.arch, metrics=member.metrics, space=None)
        model = described_model(self._weights, member.arch, known)
        wanted = model.state_dict()
        own = split_statistics(self.statistics(member), wanted)
        state = select({**self._weights, **own}, model, str(self.path))
        model.load_state_dict({k: _own_copy(v) for k, v in state.items()}, assign=True)
        mark(model.requires_grad_(), known)
        return model.eval()

    def plot(self, path: str | Path, chosen: Member | str | None = None) -> Path:
        """Plot scores over multiply-adds to an SVG file, with the ``chosen`` member marked.

        Raises:
            ValueError: for a name that does not end in .svg.
        """
        from ..archs.drawing import save_svg

        return save_svg(path, self.svg(chosen))

    def svg(self, chosen: Member | str | None = None) -> str:
        """The SVG of :meth:`plot` as text."""
        from ..archs.drawing import scatter

        chosen = self[chosen] if isinstance(chosen, str) else chosen
        dots = [(m.macs / 1e9, m.score, m.name) for m in self.members if m.score is not None]
        return scatter(dots, "multiply-adds (1e9)", self.metric, marked=chosen.name if chosen else "")

    def table(self) -> str:
        """The members as a Markdown table."""
        lines = [f"| member | input | parameters | GMACs | {self.metric} |", "|" + "---|" * 5]
        for m in self.members:
            h, w = m.arch.input_size
            score = "" if m.score is None else f"{m.score:.4f}"
            lines.append(f"| {m.name} | {h}x{w} | {m.params:,} | {m.macs / 1e9:.3f} | {score} |")
        return "\n".join(lines)


def _rank(member: Member) -> tuple[float, int]:
    return (-math.inf if member.score is None else member.score, -member.macs)


def _own_copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy that does not share the file's mapped memory."""
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
