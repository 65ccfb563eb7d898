"""A network on several threads, quiet and beside a busy process: ``python -m benchmarks.contention [NAME]``.

Each way for threads to wait for each other is tried in processes of its own: as OpenMP does by itself, as this
package's commands set it, and asleep at once. They take turns, so that all see the same machine; the figures are the
least of a process's medians. ``ratio`` is busy to quiet; ``cost`` is quiet against OpenMP's own way when quiet.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from benchmarks import Measurement, show
from scalenet.runtime.entry import SPINS

WAYS: dict[str, dict[str, str]] = {
    "as OpenMP does": {},
    "as our commands do": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": SPINS},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
}
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
BUSY = "while True: pass"
TIMED = """
import sys, statistics, time
import torch
from scalenet.bench import bench
from scalenet.models.factory import load_model
name, engine, threads, seconds = sys.argv[1:]
torch.set_num_threads(int(threads))
print(bench(load_model(name, pretrained=False), seconds=float(seconds), device="cpu", engine=engine)["ms"])
"""


def milliseconds(way: dict[str, str], arguments: list[str]) -> float:
    """Median of one image in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k not in NAMES} | way
    command = [sys.executable, "-c", TIMED, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def beside(others: int, way: dict[str, str], arguments: list[str]) -> float:
    """The same while so many processes compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(others)]
    try:
        time.sleep(0.2)
        return milliseconds(way, arguments)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(argv: list[str]) -> list[Measurement]:
    """Quiet and busy in turn, round by round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contention")
    parser.add_argument("name", nargs="?", default="scalenet_s0")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=1, help="processes that compute without end")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv)
    arguments = [args.name, args.engine, str(args.threads), str(args.seconds)]
    quiet: dict[str, list[float]] = {way: [] for way in WAYS}
    busy: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way, variables in WAYS.items():
            quiet[way].append(milliseconds(variables, arguments))
            busy[way].append(beside(args.busy, variables, arguments))
    own = min(quiet["as OpenMP does"])
    metrics = []
    for way in WAYS:
        ours, head = way == "as our commands do", f"contention: {args.name}, {args.engine}, {way}"
        metrics += [
            Measurement(f"{head}, quiet", min(quiet[way]), "ms"),
            Measurement(f"{head}, cost", min(quiet[way]) / own, "ratio", at_most=1.03 if ours else None),
            Measurement(f"{head}, busy", statistics.median(busy[way]), "ms"),
            Measurement(
                f"{head}, busy to quiet", statistics.median(busy[way]) / min(quiet[way]), "ratio",
                at_most=2.5 if ours else None,
            ),
        ]  # fmt: skip
    return metrics


if __name__ == "__main__":
    show(measure)
