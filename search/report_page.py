"""What a search found as one HTML file that needs nothing else: plots, statistics by scale, and every drawing."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from scalenet.archs.arch import Arch
from scalenet.archs.drawing import draw_arch, scatter
from scalenet.data.io import write_text

from .archive import Record
from .evolution import pareto_front
from .report import draw_front, hrnet_of, scaled_of, tau

DRAWN, POINTS = 200, 100  # architectures that are drawn beside the front's; points of the hypervolume's curve
BRANCHES = range(4)
STYLE = """body{font:15px/1.5 sans-serif;color:#1e293b;max-width:1000px;margin:24px auto;padding:0 16px}
table{border-collapse:collapse;margin:8px 24px 8px 0;display:inline-table}td,th{padding:3px 10px;text-align:right}
svg{max-width:100%;height:auto}circle{cursor:pointer}#shown{min-height:120px}"""
SCRIPT = """const shown=document.getElementById("shown");
document.querySelectorAll("circle[data-name]").forEach(dot=>dot.addEventListener("click",()=>{
const name=dot.dataset.name;shown.innerHTML=drawings[name]||"";
if(!drawings[name])shown.textContent=name+" is not drawn in this file";}));"""


def write_page(records: Sequence[Record], path: str | Path, metric: str, alone: Sequence[dict] = ()) -> Path:
    """Write the page.

    Args:
        metric: what the scores are.
        alone: rows of ``search rank``, metrics of architectures trained by themselves.
    """
    front = pareto_front(records)
    parts = [
        _summary(records, metric), _plot(records, metric), '<div id="shown">Click a point.</div>',
        "<h2>The front</h2>", _front_table(front, metric), _plain_table(records, metric),
        "<h2>Progress</h2>", _progress(records),
        "<h2>Does the order hold?</h2>", _correlations(records, alone), "<h2>Depth and fusion by scale</h2>",
        _scales(front, "the front"), _scales(records, "all that was scored"),
    ]  # fmt: skip
    drawings = json.dumps({r.key: draw_arch(r.arch) for r in _drawn(records, front)}).replace("</", "<\\/")
    head = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Search</title><style>{STYLE}</style></head>'
    )
    script = f"<script>const drawings={drawings};\n{SCRIPT}</script>"
    return write_text(path, "\n".join([head, "<body><h1>Search</h1>", *parts, script, "</body></html>\n"]))


def hypervolume(records: Iterable[Record], most_macs: int) -> float:
    """What a front dominates, 0..1: the mean, over multiply-adds up to ``most_macs``, of the best score within them."""
    front = pareto_front(list(records))
    ends = [r.macs for r in front[1:]] + [most_macs]
    return sum(max(0.0, r.score) * (end - r.macs) for r, end in zip(front, ends, strict=True)) / most_macs


def _summary(records: Sequence[Record], metric: str) -> str:
    generations = len({r.generation for r in records})
    minutes = sum(r.seconds for r in records) / 60
    h, w = records[0].arch.input_size
    text = f"{len(records)} architectures scored by {metric} in {generations} generations"
    return f"<p>{html.escape(text)}, {minutes:.1f} minutes of scoring; the first one's input is {h}x{w}.</p>"


def _plot(records: Sequence[Record], metric: str) -> str:
    pattern = hrnet_of(records)
    missing = "" if any(r.digest == pattern for r in records) else "<p>HRNet's pattern was not scored: add it with "
    missing += missing and "<code>python -m search score RECIPE --arch hrnet -o ARCHIVE</code>.</p>"
    return draw_front(records, metric) + missing


def _drawn(records: Sequence[Record], front: Sequence[Record]) -> list[Record]:
    patterns = {hrnet_of(records), *scaled_of(records)}
    marked = [*front, *(r for r in records if r.digest in patterns)]
    return [*marked, *records[:: max(1, len(records) // DRAWN)]]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    lines = ["<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows]
    return f"<table><tr>{cells}</tr>{''.join(lines)}</table>"


def _front_table(front: Sequence[Record], metric: str) -> str:
    rows = [
        (r.digest, "x".join(map(str, r.arch.input_size)), f"{r.macs / 1e9:.3f}", f"{r.params:,}", f"{r.score:.4f}",
         str(r.generation)) for r in front
    ]  # fmt: skip
    return _table(("digest", "input", "GMACs", "parameters", metric, "generation"), rows)


def _plain_table(records: Sequence[Record], metric: str) -> str:
    """HRNet's pattern and uniformly scaled networks, each beside the best other of at most as many multiply-adds."""
    pattern, scaled = hrnet_of(records), scaled_of(records)
    rows = []
    for r in sorted((r for r in records if r.digest in scaled or r.digest == pattern), key=lambda r: r.macs):
        others = [o for o in records if o.macs <= r.macs and o.digest not in scaled and o.digest != pattern]
        best = max(others, key=lambda o: o.score, default=None)
        name = "HRNet's pattern" if r.digest == pattern else f"scaled to depth {r.arch.stages[0][0].depths[0]}"
        beside = ("", "", "") if best is None else (best.key, f"{best.score:.4f}", f"{best.score - r.score:+.4f}")
        rows.append((name, "x".join(map(str, r.arch.input_size)), f"{r.macs / 1e9:.3f}", f"{r.score:.4f}", *beside))
    head = ("", "input", "GMACs", metric, "best within as many", metric, "gain")
    return "<h2>At equal multiply-adds</h2>" + _table(head, rows) if rows else ""


def _progress(records: Sequence[Record]) -> str:
    most, step = max(r.macs for r in records), max(1, len(records) // POINTS)
    counts = sorted({*range(1, len(records) + 1, step), len(records)})
    dots = [(float(n), hypervolume(records[:n], most), f"after {n}") for n in counts]
    return scatter(dots, "architectures scored", "hypervolume")


def _correlations(records: Sequence[Record], alone: Sequence[dict]) -> str:
    by_digest = {r.digest: r.score for r in records}
    both = [(by_digest[row["digest"]], row["alone"]) for row in alone if row["digest"] in by_digest]
    pairs = {
        "multiply-adds": [(r.score, r.macs) for r in records], "parameters": [(r.score, r.params) for r in records],
        "trained alone": both,
    }  # fmt: skip
    rows = [(name, str(len(row)), f"{tau(*zip(*row, strict=True)):.3f}") for name, row in pairs.items() if len(row) > 2]
    return "<p>Kendall's tau of the scores with</p>" + _table(("", "architectures", "tau"), rows)


def _scales(records: Sequence[Record], of: str) -> str:
    """Mean depths by stage and branch, and the share of possible paths that are on, by source and target."""
    archs = [r.arch for r in records]
    depths = [
        (f"stage {stage}", *(_mean(m.depths[b] for a in archs for s, _, m in a.modules() if s == stage and b < s)
                             for b in BRANCHES)) for stage in (2, 3, 4)
    ]  # fmt: skip
    paths = [(f"from 1/{4 << k}", *(_share(archs, k, j) for j in BRANCHES)) for k in BRANCHES]
    strides = [f"1/{4 << b}" for b in BRANCHES]
    title = f"<h3>{html.escape(of.capitalize())}</h3>"
    return title + _table(("mean depth", *strides), depths) + _table(("paths", *(f"to {s}" for s in strides)), paths)


def _mean(values: Iterable[int]) -> str:
    found = list(values)
    return f"{sum(found) / len(found):.2f}" if found else ""


def _share(archs: Iterable[Arch], source: int, target: int) -> str:
    modules = [m for a in archs for stage, _, m in a.modules() if max(source, target) < stage]
    if source == target:
        return ""
    on = sum(source in sources for m in modules for sources in m.fusions[target])
    return f"{on / sum(m.depths[target] for m in modules):.0%}"
