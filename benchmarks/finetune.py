"""What a start from shipped weights is worth: S0 on CamVid with its classes merged to four, against random weights.

``python -m benchmarks.finetune DATA/camvid [STEPS]`` writes the four classes as a plain folder (as anybody's own data
would come) and runs ``python -m training finetune`` on it twice, with and without ``--scratch``, for as many steps.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks import Measurement, show

STEPS = 150
MERGED = {  # CamVid's indices
    "background": (0, 5), "ground": (3, 4), "built": (1, 2, 6, 7), "traffic": (8, 9, 10),
}  # fmt: skip


def write_folder(camvid: Path, folder: Path) -> Path:
    """CamVid's images beside masks of four classes, and their names."""
    table = np.full(256, 255, np.uint8)
    for index, old in enumerate(MERGED.values()):
        table[list(old)] = index
    for split in ("train", "val"):
        shutil.copytree(camvid / "images" / split, folder / "images" / split)
        (folder / "labels" / split).mkdir(parents=True)
        for path in sorted((camvid / "labels" / split).glob("*.png")):
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(folder / "labels" / split / path.name), table[mask])
    (folder / "classes.txt").write_text("\n".join(MERGED) + "\n")
    return folder


def tune(data: Path, out: Path, *options: str) -> float:
    """mIoU on ``val`` after one run of the command."""
    command = [sys.executable, "-m", "training", "finetune", "--model", "scalenet_s0", "--data", str(data)]
    done = subprocess.run([*command, "-o", str(out), *options], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["miou"]


def measure(argv: list[str]) -> list[Measurement]:
    """Both metrics; none without CamVid's folder."""
    if not argv:
        print("skipped: give CamVid's folder, python -m benchmarks.finetune DATA/camvid")
        return []
    steps = int(argv[1]) if len(argv) > 1 else STEPS
    budget = (f"steps={steps}", "minutes=0", "size=256x320")
    with tempfile.TemporaryDirectory() as temporary:
        data = write_folder(Path(argv[0]), Path(temporary) / "merged")
        scratch = tune(data, Path(temporary) / "scratch", "--scratch", *budget)
        tuned = tune(data, Path(temporary) / "tuned", *budget)
    return [
        Measurement(f"4 classes, {steps} steps from random weights", scratch, "mIoU"),
        Measurement(f"4 classes, {steps} steps from scalenet_s0", tuned, "mIoU", at_least=scratch),
    ]


if __name__ == "__main__":
    show(measure)
