"""This package's networks in every engine beside timm's and torchvision's: ``python -m benchmarks.speed``.

For every input size, batch and number of threads all networks and engines take turns in one run; of matmul is the rate
against PyTorch's product of two 1024x1024 matrices in the same type. ``--write``: table and plot into docs/speed.md.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks._rivals import FORMS, rivals
from scalenet.bench import PAIRS, SIDE, MatrixProduct
from scalenet.commands.options import height_width
from scalenet.data.io import write_text
from scalenet.engines.base import EngineError, make_engine
from scalenet.engines.choose import time_in_turn
from scalenet.engines.machine import processor
from scalenet.models.factory import load_model
from scalenet.models.preprocessing import model_input
from scalenet.nn.fuse import Folded, fold
from scalenet.runtime.command_line import positive

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- benchmarks.speed -->", "<!-- end of benchmarks.speed -->"
HEAD = (
    "| input | batch | threads | network | engine | ms, least | ms, median | GMACs/s | of matmul |\n" + "|---" * 9 + "|"
)
Row = dict[str, Any]


def own(names: list[str], size: tuple[int, int]) -> dict[tuple[str, str], tuple[Any, int]]:
    """(network, engine) -> engine and multiply-adds; what cannot run here is said and left out."""
    made = {}
    for name in names:
        model = load_model(name, pretrained=False)
        network = Folded(fold(model).cpu(), statistics=model_input(model)[1])
        for engine, dtype in PAIRS:
            try:
                made[name, f"{engine} {dtype}"] = make_engine(network, engine, dtype), model.cost(size).macs
            except (EngineError, ImportError) as e:
                print(f"left out: {name}: {e}", flush=True)
    return made


class Takes:
    """An engine with images of its own: networks of this package take uint8."""

    def __init__(self, engine: Any, x: torch.Tensor) -> None:
        self.name, self.dtype, self._engine, self._x = engine.name, engine.dtype, engine, x

    def __call__(self, x: torch.Tensor) -> Any:
        """Run it."""
        return self._engine(self._x)


def timed(args: argparse.Namespace, size: tuple[int, int], batch: int, threads: int) -> list[Row]:
    """A row for each network and engine."""
    torch.set_num_threads(threads)
    x = torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8)
    all_of = {key: (Takes(engine, x), macs) for key, (engine, macs) in own(args.networks, size).items()}
    all_of |= {(name, form): (engine, macs) for name, form, engine, macs in rivals(args.rivals, x, FORMS)}
    dtypes = {engine.dtype for engine, _ in all_of.values()}
    products = {("matmul", d): MatrixProduct(d, torch.device("cpu")) for d in dtypes}
    engines = {key: engine for key, (engine, _) in all_of.items()}
    with torch.inference_mode():
        times = time_in_turn({**engines, **products}, x, args.seconds * len(engines))
    rows = []
    for key, (engine, macs) in all_of.items():
        rate = batch * macs / min(times[key]) / 1e6
        product = SIDE**3 / min(times["matmul", engine.dtype]) / 1e6
        rows.append({
            "input": f"{size[0]}x{size[1]}", "batch": batch, "threads": threads, "network": key[0], "engine": key[1],
            "least": min(times[key]), "median": statistics.median(times[key]), "rate": rate, "share": rate / product,
        })  # fmt: skip
    return rows


def line(row: Row) -> str:
    """A row of the table."""
    numbers = f"{row['least']:.1f} | {row['median']:.1f} | {row['rate']:.1f} | {row['share']:.2f}"
    words = " | ".join(str(row[key]) for key in ("input", "batch", "threads", "network", "engine"))
    return f"| {words} | {numbers} |"


def plot(rows: list[Row], path: Path) -> None:
    """Milliseconds of an image, the fastest engine of each network and the others, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [f"{r['network']}, {r['engine']}, {r['input']}, {r['batch']}, {r['threads']}" for r in rows]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.22 * len(rows)))
    axes.barh(names, [r["least"] / r["batch"] for r in rows])
    axes.set_xscale("log")
    axes.set_xlabel("ms an image, least (network, engine, input, batch, threads)")
    axes.invert_yaxis()
    figure.savefig(path, bbox_inches="tight", dpi=100)
    pyplot.close(figure)


def write(rows: list[Row], command: str) -> None:
    """Put table and plot between the marks of docs/speed.md."""
    page = DOCS / "speed.md"
    before, found, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    if not found or END not in rest:
        raise ValueError(f"{page} has no marks {BEGIN} and {END}")
    plot(rows, DOCS / "images" / "speed.png")
    said = f"{processor()}, torch {torch.__version__}, written by `{command}`:"
    shown = "\n".join([HEAD, *map(line, rows)])
    block = f"{BEGIN}\n\n{said}\n\n{shown}\n\n![Milliseconds of an image](images/speed.png)\n\n"
    write_text(page, before + block + END + rest.partition(END)[2])


def main() -> None:
    """Measure, print, and write where that is wished."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    parser.add_argument("--networks", nargs="*", default=["scalenet_s0", "scalenet_p0", "scalenet_p1"])
    parser.add_argument(
        "--rivals", nargs="*", default=["timm:hrnet_w32", "torchvision:lraspp_mobilenet_v3_large"],
        help="timm:NAME (its features) or torchvision:NAME",
    )  # fmt: skip
    parser.add_argument("--sizes", nargs="+", type=height_width, default=[(256, 192)], metavar="HxW")
    parser.add_argument("--batches", nargs="+", type=positive, default=[1])
    parser.add_argument("--threads", nargs="+", type=positive, default=[2])
    parser.add_argument("--seconds", type=float, default=2, help="for each network and engine")
    parser.add_argument("--write", action="store_true", help="table and plot into docs/speed.md")
    args = parser.parse_args()
    print(HEAD)
    rows = []
    for size in args.sizes:
        for batch in args.batches:
            for threads in args.threads:
                found = timed(args, size, batch, threads)
                print("\n".join(map(line, found)), flush=True)
                rows += found
    if args.write:
        shown = [f"{h}x{w}" for h, w in args.sizes], args.batches, args.threads
        sizes, batches, threads = (" ".join(map(str, values)) for values in shown)
        names = f"--networks {' '.join(args.networks)} --rivals {' '.join(args.rivals)}"
        ranges = f"--sizes {sizes} --batches {batches} --threads {threads} --seconds {args.seconds:g}"
        write(rows, f"python -m benchmarks.speed {names} {ranges} --write")


if __name__ == "__main__":
    main()
