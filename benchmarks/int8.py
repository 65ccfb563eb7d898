"""What 8-bit integers cost: ``python -m benchmarks.int8 --data DATA [--limit N] [--engine openvino]``.

The metrics of scalenet_s0 (CamVid val), scalenet_p0 and scalenet_p0_bottomup (Stanford 40 val) in float32 and in int8,
calibrated with training images of the same data set, and what is lost. DATA holds camvid and stanford40; where it is
not there nothing is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import Measurement, show
from scalenet.evaluate import pose, segmentation

NETWORKS = {  # data set, metric
    "scalenet_s0": ("camvid", "miou"), "scalenet_p0": ("stanford40", "ap"),
    "scalenet_p0_bottomup": ("stanford40", "ap"),
}  # fmt: skip


def metric(name: str, data: Path, limit: int | None, **running: Any) -> float:
    """One network's metric on its data set's val."""
    dataset, key = NETWORKS[name]
    evaluate = segmentation.evaluate if dataset == "camvid" else pose.evaluate
    return float(evaluate(name, dataset, data / dataset, limit=limit, device="cpu", flip=False, **running)[key])


def measure(argv: list[str]) -> list[Measurement]:
    """Float32 and int8 in the same engine, without mirroring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--engine", default="openvino", choices=("onnxruntime", "openvino"))
    parser.add_argument("--limit", type=int, help="only the first images of val")
    args = parser.parse_args(argv)
    rows = []
    for name in args.networks if args.data.is_dir() else ():
        dataset, key = NETWORKS[name]
        calibration = args.data / dataset / "images" / "train"
        whole = metric(name, args.data, args.limit, engine=args.engine, dtype="float32")
        eight = metric(name, args.data, args.limit, engine=args.engine, dtype="int8", calibration=calibration)
        head = f"int8: {name}, {args.engine}, {key}"
        rows += [
            Measurement(f"{head}, float32", whole, ""),
            Measurement(f"{head}, int8", eight, ""),
            Measurement(f"{head}, lost", whole - eight, "", at_most=0.01),
        ]
    return rows


if __name__ == "__main__":
    show(measure)
