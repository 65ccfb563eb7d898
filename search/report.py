"""What a search found: a table of the Pareto front and a picture of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from scalenet.archs.arch import SearchSpace
from scalenet.archs.drawing import Dot, save_svg, scatter

from .archive import Record
from .evolution import Costs, pareto_front

AXES = {"macs": ("multiply-adds (1e9)", 1e9), "params": ("parameters (1e6)", 1e6), "latency": ("milliseconds", 1.0)}
RANDOM, SEARCHED, HRNET, SCALED = "#94a3b8", "#d97706", "#be123c", "#2563eb"  # colours of the dots


def table(records: Sequence[Record], metric: str, costs: Costs = ("macs",)) -> str:
    """The Pareto front as text, cheapest first; with milliseconds where they were measured."""
    timed = any(r.latency for r in records)
    rows = [f"{len(records)} evaluated, Pareto front:", f"{'digest':16}  {'GMACs':>7}  {'params':>10}  {metric:>6}"]
    rows += [f"{r.digest}  {r.macs / 1e9:7.3f}  {r.params:10,}  {r.score:6.4f}" for r in pareto_front(records, costs)]
    if timed:
        times = ["", f"  {'ms':>8}", *(f"  {r.latency:8.2f}" for r in pareto_front(records, costs))]
        rows = [row + cell for row, cell in zip(rows, times, strict=True)]
    return "\n".join(rows)


def tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's rank correlation, -1..1."""
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic)


def hrnet_of(records: Sequence[Record]) -> str:
    """The digest of HRNet's pattern in the space that the records span, "" for none."""
    return _space_of(records).hrnet().digest if records else ""


def scaled_of(records: Sequence[Record]) -> set[str]:
    """The digests of HRNet's pattern with other depths, all branches alike: uniformly scaled networks of that space."""
    if not records:
        return set()
    space = _space_of(records)
    return {space.hrnet(depth).digest for depth in range(space.depths[0], space.depths[1] + 1)} - {hrnet_of(records)}


def _space_of(records: Sequence[Record]) -> SearchSpace:
    spaces = [SearchSpace.around(r.arch) for r in records]
    depths = (min(s.depths[0] for s in spaces), max(s.depths[1] for s in spaces))
    return replace(spaces[0], depths=depths)


def draw_front(records: Sequence[Record], metric: str, costs: Costs = ("macs",)) -> str:
    """All records as an SVG picture: the random ones, the searched, HRNet's pattern, and the Pareto front.

    The first of the ``costs`` is the horizontal axis, and the front drawn is that of this cost and the score.
    """
    label, scale = AXES[costs[0]]

    def dots(found: Iterable[Record]) -> list[Dot]:
        return [(getattr(r, costs[0]) / scale, r.score, r.key) for r in found]

    front, pattern, scaled = pareto_front(records, costs[:1]), hrnet_of(records), scaled_of(records)
    best = {r.key for r in front}
    rest = [r for r in records if r.key not in best]
    groups = [
        (dots(r for r in rest if r.generation == 0), RANDOM, "random"),
        (dots(r for r in rest if r.generation > 0), SEARCHED, "searched"),
        (dots(r for r in records if r.digest == pattern), HRNET, "HRNet's pattern"),
        (dots(r for r in records if r.digest in scaled), SCALED, "uniformly scaled"),
    ]
    return scatter(dots(front), label, metric, others=[group for group in groups if group[0]])


def plot_front(records: Sequence[Record], path: str | Path, metric: str, costs: Costs = ("macs",)) -> Path:
    """Write :func:`draw_front`'s picture.

    Raises:
        ValueError: for a name that does not end in .svg.
    """
    return save_svg(path, draw_front(records, metric, costs))
