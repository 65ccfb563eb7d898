"""What a search found: a table of the Pareto front and an image of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scalenet.data.io import atomic_write

from .archive import Record
from .evolution import Costs, pareto_front

AXES = {"macs": ("multiply-adds (1e9)", 1e9), "params": ("parameters (1e6)", 1e6), "latency": ("milliseconds", 1.0)}


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


def plot_front(
    records: Sequence[Record], path: str | Path, metric: str, chosen: Record | None = None, costs: Costs = ("macs",)
) -> Path:
    """Draw all records, by generation, with the Pareto front and the ``chosen`` one; writes a PNG.

    The first of the ``costs`` is the horizontal axis, and the front drawn is that of this cost and the score.
    """
    label, scale = AXES[costs[0]]

    def cost(record: Record) -> float:
        return getattr(record, costs[0]) / scale

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(7, 4.5), constrained_layout=True)
    dots = axis.scatter(
        [cost(r) for r in records], [r.score for r in records], c=[r.generation for r in records],
        s=18, cmap="viridis", alpha=0.8,
    )  # fmt: skip
    front = pareto_front(records, costs[:1])
    axis.step([cost(r) for r in front], [r.score for r in front], where="post", color="crimson", label="Pareto front")
    if chosen is not None:
        axis.plot(cost(chosen), chosen.score, "r*", markersize=14, label=f"deployed {chosen.digest}")
    axis.set_xlabel(label)
    axis.set_ylabel(f"validation {metric}, weights inherited")
    axis.legend(loc="lower right")
    fig.colorbar(dots, label="generation")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        fig.savefig(temporary, format="png", dpi=120)
    plt.close(fig)
    return Path(path)
