"""What a search found: a table of the Pareto front and an image of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scalenet.data.io import atomic_write

from .archive import Record
from .evolution import pareto_front


def table(records: Sequence[Record], metric: str) -> str:
    """The Pareto front as text, cheapest first."""
    rows = [f"{len(records)} evaluated, Pareto front:", f"{'digest':16}  {'GMACs':>7}  {'params':>10}  {metric:>6}"]
    rows += [f"{r.digest}  {r.macs / 1e9:7.3f}  {r.params:10,}  {r.score:6.4f}" for r in pareto_front(records)]
    return "\n".join(rows)


def plot_front(records: Sequence[Record], path: str | Path, metric: str, chosen: Record | None = None) -> Path:
    """Draw all records, by generation, with the Pareto front and the ``chosen`` one; writes a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(7, 4.5), constrained_layout=True)
    dots = axis.scatter(
        [r.macs / 1e9 for r in records], [r.score for r in records], c=[r.generation for r in records],
        s=18, cmap="viridis", alpha=0.8,
    )  # fmt: skip
    front = pareto_front(records)
    axis.step(
        [r.macs / 1e9 for r in front], [r.score for r in front], where="post", color="crimson", label="Pareto front"
    )
    if chosen is not None:
        axis.plot(chosen.macs / 1e9, chosen.score, "r*", markersize=14, label=f"deployed {chosen.digest}")
    axis.set_xlabel("multiply-adds (1e9)")
    axis.set_ylabel(f"validation {metric}, weights inherited")
    axis.legend(loc="lower right")
    fig.colorbar(dots, label="generation")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        fig.savefig(temporary, format="png", dpi=120)
    plt.close(fig)
    return Path(path)
