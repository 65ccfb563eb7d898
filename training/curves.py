"""Loss and learning rate of a run as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from scalenet.whole import whole_file


def plot(folder: str | Path) -> Path:
    """Draw ``folder/log.jsonl`` to ``folder/curves.png``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder = Path(folder)
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    records = list({r["step"]: r for r in records if "loss" in r}.values())  # a run that was killed repeats steps
    steps = [r["step"] for r in records]
    fig, axis = plt.subplots(figsize=(7, 4), constrained_layout=True)
    axis.plot(steps, [r["loss"] for r in records], linewidth=0.8)
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    rate = axis.twinx()
    rate.plot(steps, [r["lr"] for r in records], color="crimson", linewidth=0.8)
    rate.set_ylabel("learning rate", color="crimson")
    with whole_file(folder / "curves.png") as temporary:
        fig.savefig(temporary, dpi=110)
    plt.close(fig)
    return folder / "curves.png"
