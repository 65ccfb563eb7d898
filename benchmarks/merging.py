"""What merged fusion paths gain: ``python -m benchmarks.merging [NAME…]``, each engine with and without, in turn."""

from __future__ import annotations

import argparse

import torch

from benchmarks import Measurement, show
from scalenet.engines.base import make_engine
from scalenet.engines.choose import time_in_turn
from scalenet.engines.names import ON_PROCESSORS
from scalenet.models.factory import load_model
from scalenet.nn.fuse import Folded, fold


def measure(argv: list[str]) -> list[Measurement]:
    """The least time with against the least without."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merging")
    parser.add_argument("names", nargs="*", default=["scalenet_s0", "scalenet_p0"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.names:
        network = fold(load_model(name, pretrained=False))
        merged, plain = Folded(network), Folded(network)
        plain.network = network
        x = merged.example(1, network.arch.input_size)
        for engine in ("torch", *ON_PROCESSORS):
            engines = {kind: make_engine(net, engine, "float32") for kind, net in (("m", merged), ("p", plain))}
            with torch.inference_mode():
                times = time_in_turn(engines, x, args.seconds)
            rows.append(Measurement(f"merging: {name} in {engine}", min(times["m"]) / min(times["p"]), "ratio"))
    return rows


if __name__ == "__main__":
    show(measure)
