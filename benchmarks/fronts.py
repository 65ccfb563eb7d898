"""What a front holds and what picking from it takes: ``python -m benchmarks.fronts [FRONT…] [--engine E] [--dtype D]``.

Fronts are files or names; default those in the package. Picking by latency runs in a cache of its own, so that nothing
is known at first; the limit is the middle member's time, and the member picked is timed again. The last lines need a
checkout and the data: ``--evaluate DATA`` measures every member anew, as ``python -m search front --check`` does, from
DATA/camvid or DATA/stanford40; that takes as long as building the front.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast
from unittest.mock import patch

from benchmarks import Measurement, show
from scalenet.archs.arch import Arch
from scalenet.engines.base import engine_device
from scalenet.engines.front import Front
from scalenet.engines.latency import LatencyClock, network_ms
from scalenet.models.pretrained import TABLE
from scalenet.nn.network import ScaleNet

SEARCHES = {"scalenet_s0": ("s0", "camvid"), "scalenet_p0": ("p0", "stanford40"),
            "scalenet_p0_bottomup": ("p0_bottomup", "stanford40")}  # fmt: skip


def supernet_bytes(front: Front) -> int:
    """What the supernet's entries take, kernels as fp16."""
    outputs = front.extract(front.members[0]).num_classes
    arch = cast(Arch, front.metadata.arch)  # a front without one cannot be opened
    network = ScaleNet(arch, task=front.spec.name, num_classes=outputs, device="meta")
    return sum(v.numel() * (2 if v.ndim > 1 else v.element_size()) for v in network.state_dict().values())


def contents(name: str, front: Front) -> list[Measurement]:
    """Members, their span, order and size on disk; seconds to open it and to extract the slowest."""
    started = time.perf_counter()
    Front(front.path)
    opened, members, seconds = time.perf_counter() - started, front.members, []
    for member in members:
        started = time.perf_counter()
        front.extract(member)
        seconds.append(time.perf_counter() - started)
    scores = [-1.0 if m.score is None else m.score for m in members]
    rises = sum(b > a for a, b in itertools.pairwise(scores))
    size = front.path.stat().st_size
    return [
        Measurement(f"{name}: members", len(members), "", at_least=10),
        Measurement(
            f"{name}: largest over smallest, multiply-adds", members[-1].macs / members[0].macs, "x", at_least=5
        ),
        Measurement(f"{name}: steps up that score more", rises, "", at_least=len(members) - 1),
        Measurement(f"{name}: file", size / 1e6, "MB", at_most=8),
        Measurement(f"{name}: file over the supernet's fp16", size / supernet_bytes(front), "x", at_most=1.3),
        Measurement(f"{name}: open", opened, "s"),
        Measurement(f"{name}: extract the slowest member", max(seconds), "s", at_most=0.5),
        Measurement(f"{name}: extract a member, mean", sum(seconds) / len(seconds), "s"),
    ]


def picking(front: Front, engine: str, dtype: str | None) -> list[Measurement]:
    """Seconds to pick by latency with nothing known and again, and the pick's time over its limit, timed anew."""
    device = engine_device(None, engine)
    middle = front.members[len(front) // 2]
    limit = network_ms(front.extract(middle), device, engine, dtype)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        member = front.pick(max_latency_ms=limit, engine=engine, dtype=dtype)
        seconds.append(time.perf_counter() - started)
    known = LatencyClock(front, device, engine, dtype)(member)
    again = network_ms(front.extract(member), device, engine, dtype)
    title = f"{front.label}: {engine}{' ' + dtype if dtype else ''},"
    return [
        Measurement(f"{title} pick by latency, first time", seconds[0], "s", at_most=20),
        Measurement(f"{title} pick by latency, again", seconds[1], "s", at_most=0.1),
        Measurement(f"{title} limit (the time of {middle.name})", limit, "ms"),
        Measurement(f"{title} {member.name}, timed to pick", known, "ms"),
        Measurement(f"{title} {member.name}, timed again, of the limit", again / limit, "x", at_most=1.1),
    ]


def evaluated(name: str, front: Front, data: Path) -> list[Measurement]:
    """The largest difference of a member's metric, measured anew, to what the file says.

    Raises:
        ValueError: for a front of another supernet than this checkout's.
    """
    if name not in SEARCHES:
        raise ValueError(f"--evaluate knows the fronts of the package ({', '.join(SEARCHES)}), not {name}")
    recipe, folder = SEARCHES[name]
    places = {"python": sys.executable, "RECIPE": recipe, "ROOT": str(data / folder), "FILE": str(front.path),
              "ARCHIVE": f"training/checkpoints/{recipe}_archive.jsonl"}  # fmt: skip
    words = [word.replace("root=ROOT", f"root={places['ROOT']}") for word in (front.metadata.command or "").split()]
    command = [places.get(word, word) for word in words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    worst = max(abs(row["recorded"] - row["measured"]) for row in rows)
    return [
        Measurement(f"{name}: members measured anew", len(rows), "", at_least=len(front)),
        Measurement(f"{name}: largest difference, in 1e-4", 1e4 * worst, "", at_most=1),
    ]


def measure(argv: list[str]) -> list[Measurement]:
    """Everything above, for each front."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fronts")
    parser.add_argument("fronts", nargs="*", default=[e.name for e in TABLE if e.front.is_file()])
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--dtype")
    parser.add_argument("--evaluate", type=Path, metavar="DATA")
    args = parser.parse_args(argv)
    metrics = []
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"SCALENET_CACHE": folder}):
        for name in args.fronts:
            front = Front(name)
            metrics += contents(front.label, front) + picking(front, args.engine, args.dtype)
            metrics += evaluated(name, front, args.evaluate) if args.evaluate else []
    return metrics


if __name__ == "__main__":
    show(measure)
