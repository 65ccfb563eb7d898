"""The zoo: seconds to import and build, seconds and memory to load P4 and to convert a w48 supernet, on 2 threads.

Memory is the largest resident size of a process of its own above what it had before, in multiples of the file's size.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import Measurement, show
from benchmarks._process import run

NETWORKS = tuple(f"scalenet_{kind}{i}" for kind in "ps" for i in (1, 2, 3, 4))
LOAD = "factory.load_model({path!r})"
LOAD_TIMM = "timm.create_model('scalenet_p4', checkpoint_path={path!r})"
CONVERT = "convert.convert_checkpoint({path!r}, {path!r} + '.out', entry.arch, entry)"


def task(expression: str, path: Path) -> tuple[float, float]:
    """Seconds, and peak memory above the start in multiples of ``path``'s size, of one expression on it."""
    code = f"""
import time, timm, torch
from benchmarks._process import peak_mb
from scalenet import convert, factory, table, weights
torch.set_num_threads(2)
entry = pretrained.find_entry("scalenet_s3")
before, started = peak_mb(), time.perf_counter()
{expression.format(path=str(path))}
print(time.perf_counter() - started, peak_mb() - before)
"""
    seconds, megabytes = run(code)
    return seconds, megabytes * 2**20 / path.stat().st_size


def imports() -> float:
    """Seconds ``import scalenet`` takes after ``import timm``; median of 3."""
    code = "import time, timm; t = time.perf_counter(); import scalenet; print(time.perf_counter() - t)"
    return statistics.median(run(code)[0] for _ in range(3))


def builds() -> dict[str, float]:
    """Seconds to build each published network."""
    import timm
    import torch

    import scalenet  # noqa: F401  (registers the names)

    torch.set_num_threads(2)
    seconds = {}
    for name in NETWORKS:
        started = time.perf_counter()
        timm.create_model(name)
        seconds[name] = time.perf_counter() - started
    return seconds


def write_files(folder: Path) -> dict[str, Path]:
    """P4 as this project's file, and a w48 segmentation supernet in both of torch's forms; random weights."""
    import torch

    from scalenet.archs.arch import SearchSpace
    from scalenet.models import checkpoint, pretrained
    from scalenet.nn.network import ScaleNet

    p4 = pretrained.find_entry("scalenet_p4").arch
    files = {name: folder / name for name in ("p4.safetensors", "zip.pth", "old.pth")}
    checkpoint.save_weights(files["p4.safetensors"], ScaleNet(p4).state_dict(), {"arch": p4.to_json()})
    state = ScaleNet(SearchSpace("segmentation", 48, (1024, 2048)).supernet()).state_dict()
    torch.save({"state_dict": {f"model.{k}": v for k, v in state.items()}}, files["zip.pth"])
    torch.save(state, files["old.pth"], _use_new_zipfile_serialization=False)
    return files


def measure(argv: list[str]) -> list[Measurement]:
    """Everything above; the files are written to a temporary folder (1 GB)."""
    slowest = max(builds().items(), key=lambda item: item[1])
    metrics = [
        Measurement("zoo: import scalenet after import timm", imports(), "s", at_most=0.3),
        Measurement(f"zoo: build the slowest of the eight ({slowest[0]})", slowest[1], "s", at_most=2),
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder))
        for door, expression in (("factory.load_model", LOAD), ("timm checkpoint_path=", LOAD_TIMM)):
            seconds, times = task(expression, files["p4.safetensors"])
            metrics += [
                Measurement(f"zoo: load P4 by {door}", seconds, "s"),
                Measurement(f"zoo: load P4 by {door}, peak memory", times, "x file", at_most=2.2),
            ]
        for form, bound in (("zip", 2), ("old", 3)):
            seconds, times = task(CONVERT, files[f"{form}.pth"])
            metrics += [
                Measurement(f"zoo: convert a w48 supernet ({form})", seconds, "s", at_most=15),
                Measurement(f"zoo: convert a w48 supernet ({form}), peak memory", times, "x file", at_most=bound),
            ]
    return metrics


if __name__ == "__main__":
    show(measure)
