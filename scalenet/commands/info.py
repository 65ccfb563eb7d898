"""``scalenet info NAME``: one network."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..models.metadata import CheckpointMetadata


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("name", metavar="NAME", help="a registered name, hf-hub:…, local-dir:… or a .safetensors file")
    parser.add_argument("--draw", metavar="FILE.svg", help="also draw the architecture: branches, blocks, fusion paths")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Facts of one network, its architecture included."""
    from ..models.info import model_info

    facts = model_info(args.name)
    if args.draw:
        from ..archs.drawing import draw_arch, save_svg

        save_svg(args.draw, draw_arch(facts.arch))
    if not args.json:
        _print(facts.to_dict(), facts.metadata)
    return facts.to_dict()


def _print(facts: dict[str, Any], known: CheckpointMetadata) -> None:
    arch = facts["arch"]
    print(f"{facts['name']}: {facts['task']}, {facts['outputs']} outputs, architecture {facts['digest']}")
    print(f"  width {facts['width']}, stem {arch['stem_width']}, stage 1 {arch['stage1_width']}")
    h, w = facts["input_size"]
    print(f"  {facts['params']:,} parameters, {facts['macs'] / 1e9:.3f} GMACs at {h}x{w}")
    for number, modules in enumerate(arch["stages"], start=2):
        print(f"  stage {number}: " + "  ".join(_module(m) for m in modules))
    print(f"  weights: {facts['weights']['note'] or facts['weights']['summary']}")
    if facts["weights"].get("terms"):
        print(f"  terms: {facts['weights']['terms']}")
    for what, text in (("made with", known.made()), ("from", known.parent()), ("BatchNorm", known.batchnorm)):
        if text:
            print(f"  {what}: {text}")
    for kind, metrics in (("reported", facts["reported"]), ("measured", known.measured())):
        if metrics:
            print(f"  {kind}: " + ", ".join(f"{k} {v}" for k, v in metrics.items()))


def _module(module: dict[str, Any]) -> str:
    """Depths of the branches, and how many of the possible fusion paths are on."""
    branches = len(module["depths"])
    on = sum(len(sources) for row in module["fusions"] for sources in row)
    return f"{'/'.join(map(str, module['depths']))} ({on} of {sum(module['depths']) * (branches - 1)} paths)"
