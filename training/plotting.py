"""Loss and learning rate of a run as an image."""

from __future__ import annotations

from pathlib import Path

from scalenet.data.io import atomic_write, read_lines


def plot(folder: str | Path) -> Path:
    """Draw ``folder/log.jsonl`` to ``folder/curves.png``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder = Path(folder)
    by_step = {r["step"]: r for r in read_lines(folder / "log.jsonl") if "loss" in r}  # a killed run repeats steps
    records = list(by_step.values())
    steps = [r["step"] for r in records]
    fig, axis = plt.subplots(figsize=(7, 4), constrained_layout=True)
    axis.plot(steps, [r["loss"] for r in records], linewidth=0.8)
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    rate = axis.twinx()
    rate.plot(steps, [r["lr"] for r in records], color="crimson", linewidth=0.8)
    rate.set_ylabel("learning rate", color="crimson")
    with atomic_write(folder / "curves.png") as temporary:
        fig.savefig(temporary, dpi=110)
    plt.close(fig)
    return folder / "curves.png"
