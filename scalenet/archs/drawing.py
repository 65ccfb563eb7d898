"""Architectures and fronts as SVG pictures; made of text alone, nothing is imported."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ..data.io import write_text
from .arch import STAGE_BRANCHES, Arch, ModuleArch

COLOURS = ("#0f766e", "#b45309", "#6d28d9", "#be123c")  # of the branches, the finest first
STEP, ROW, SIDE, MARGIN, GAP = 34, 46, 14, 70, 22
SIZE, EDGE = (640, 400), 56  # of a scatter plot and its margins

Dot = tuple[float, float, str]  # x, y, name


def save_svg(path: str | Path, picture: str) -> Path:
    """Write a picture, whole or not at all.

    Raises:
        ValueError: for a name that does not end in .svg.
    """
    if Path(path).suffix.lower() != ".svg":
        raise ValueError(f"drawings are SVG files: give a name that ends in .svg, not {Path(path).name}")
    return write_text(path, picture)


def draw_arch(arch: Arch) -> str:
    """An architecture as a picture, read from left to right: a row for each branch, a square for each basic block, a
    line for each fusion path, drawn in the colour of the branch that it comes from.
    """
    parts, x = [], MARGIN
    for stage, modules in zip(STAGE_BRANCHES, arch.stages, strict=True):
        parts.append(_text(x, 18, f"stage {stage}", "start"))
        for module in modules:
            parts += _module(module, x)
            x += module.steps * STEP + GAP
    rows = [_text(MARGIN - 12, _y(i) + 4, f"1/{4 << i}, {arch.width << i}", "end") for i in range(4)]
    h, w = arch.input_size
    title = f"{arch.name or arch.digest}, {arch.task}, {h}x{w}: rows are stride and channels"
    return _svg(max(x, 380), _y(3) + 52, [*rows, *parts, _text(MARGIN, _y(3) + 42, title, "start")])


def _y(branch: int) -> int:
    return 42 + branch * ROW


def _module(module: ModuleArch, x: int) -> list[str]:
    height = _y(len(module.depths) - 1) - _y(0) + 32
    box = f'<rect x="{x - 6}" y="{_y(0) - 16}" width="{module.steps * STEP + 6}" height="{height}"'
    parts = [f'{box} rx="5" fill="#f1f5f9" stroke="#cbd5e1"/>']
    for target, row in enumerate(module.fusions):
        for step, sources in enumerate(row):
            parts += [_path(x, step, source, target) for source in sources]
    for branch, depth in enumerate(module.depths):
        end = x + module.steps * STEP - 6
        parts.append(_line(x, _y(branch), end, _y(branch), COLOURS[branch], 1))
        for step in range(depth):
            left, top = x + step * STEP, _y(branch) - SIDE // 2
            parts.append(f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="{COLOURS[branch]}"/>')
    return parts


def _path(x: int, step: int, source: int, target: int) -> str:
    start = x + step * STEP + SIDE
    return _line(start, _y(source), start + STEP - SIDE - 3, _y(target), COLOURS[source], 1.4)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = "#334155") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
    style = 'font-family="sans-serif" font-size="12">'
    paper = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([f"{head}{style}", paper, *parts, "</svg>"]) + "\n"


def scatter(
    front: Sequence[Dot],
    x_label: str,
    y_label: str,
    *,
    marked: str = "",
    others: Sequence[tuple[Sequence[Dot], str, str]] = (),
) -> str:
    """A front as steps and dots, with ``others``: rows of dots, each with a colour and a name for the legend.

    Args:
        front, others: dots (x, y, name); a dot's name is its tooltip and its ``data-name``.
        marked: name of a dot that is drawn larger.
    """
    dots = [*front, *(dot for row, *_ in others for dot in row)]
    to_x, x_ticks = _axis([x for x, *_ in dots], EDGE, SIZE[0] - 16)
    to_y, y_ticks = _axis([y for _, y, _ in dots], SIZE[1] - EDGE, 28)
    parts = [_line(EDGE, SIZE[1] - EDGE, SIZE[0] - 16, SIZE[1] - EDGE, "#94a3b8", 1)]
    parts += [_line(EDGE, SIZE[1] - EDGE, EDGE, 28, "#94a3b8", 1)]
    parts += [_text(to_x(t), SIZE[1] - EDGE + 16, f"{t:g}") for t in x_ticks]
    parts += [_text(EDGE - 6, to_y(t) + 4, f"{t:g}", "end") for t in y_ticks]
    parts += [_text(SIZE[0] / 2, SIZE[1] - 14, x_label), _text(EDGE, 18, y_label, "start")]
    for i, (row, colour, name) in enumerate(others):
        parts += [_dot(to_x(x), to_y(y), colour, 4, label) for x, y, label in row]
        parts.append(_text(SIZE[0] - 20, SIZE[1] - EDGE - 12 - 16 * i, name, "end", colour))
    corners = [(to_x(x), to_y(y)) for x, y, _ in sorted(front)]
    steps = [f"M{x:g} {y:g}" if i == 0 else f"H{x:g} V{y:g}" for i, (x, y) in enumerate(corners)]
    parts.append(f'<path d="{" ".join(steps)}" fill="none" stroke="{COLOURS[0]}" stroke-width="1.5"/>' if steps else "")
    parts += [_dot(to_x(x), to_y(y), COLOURS[0], 9 if name == marked else 5, name) for x, y, name in front]
    return _svg(*SIZE, parts)


def _dot(x: float, y: float, colour: str, radius: int, name: str) -> str:
    name = html.escape(name, quote=True)
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" fill-opacity="0.75" data-name="{name}">'
    return f"{circle}<title>{name}</title></circle>"


def _axis(values: Sequence[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """Where a value lies between two pixels, and round values to write beside the axis."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low or abs(high) or 1.0) * 0.06
    low, high = low - room, high + room
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 6)
    ticks = [round(step * n, 10) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return (lambda value: start + (value - low) / (high - low) * (end - start)), ticks
