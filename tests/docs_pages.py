"""The documentation as rows of code blocks, run in order in a folder that holds what the examples name.

A page's Python blocks share one namespace; commands run beside them (:mod:`.docs_commands`). A ``text`` block right
after a Python block, and the lines below a ``$`` line of a ``console`` block, are what must come out. A block after
``<!-- not run: reason -->`` is only parsed.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from scalenet.archs.arch import SearchSpace
from scalenet.data.labels import COCO, Labels
from scalenet.data.samples import sample_photograph, sample_portrait
from scalenet.nn.network import ScaleNet

from .small_data import camvid_form
from .small_fronts import write_small_front
from .small_networks import write
from .small_pose import coco_form, person, results_of
from .small_video import moving, write_clip

ROOT = Path(__file__).parents[1]
PAGES = {p.relative_to(ROOT).as_posix(): p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]}
SMALL = "small.safetensors"
RUN = ("python", "bash", "console")
DATA = ("json", "text", "toml", "yaml", "bibtex")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
MARK = re.compile(r"<!-- not run: (?P<reason>[^>]+?) -->\s*\Z")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")


class StaleError(AssertionError):
    """A block that does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """One fenced block; ``output`` is what a Python block must print ("" where the page does not say)."""

    where: str
    language: str
    text: str
    reason: str = ""
    output: str = ""


def blocks(page: str) -> list[Block]:
    """All blocks of a page in order."""
    source, found, end = PAGES[page].read_text(encoding="utf-8"), [], 0
    for m in FENCE.finditer(source):
        between, text = source[end : m.start()], textwrap.dedent(m["text"])
        end = m.end()
        if m["language"] == "text" and found and found[-1].language == "python" and not between.strip():
            found[-1] = replace(found[-1], output=text)
            continue
        mark = MARK.search(between)
        where = f"{page}:{source.count(chr(10), 0, m.start()) + 1}"
        found.append(Block(where, m["language"], text, mark["reason"] if mark else ""))
    return found


def make_folder(folder: Path) -> Path:
    """What the examples name: images, boxes, data sets in small, and of the checkout what commands read."""
    shutil.copy(sample_photograph(), folder / "street.jpg")
    shutil.copy(sample_portrait(), folder / "people.jpg")
    for name, source in (("big.jpg", sample_photograph()), ("crowd.jpg", sample_portrait())):  # small, to be quick
        cv2.imwrite(str(folder / name), cv2.resize(cv2.imread(str(source)), (240, 200), interpolation=cv2.INTER_AREA))
    smallest = SearchSpace("segmentation", 8, (64, 80), 8, 8, (1, 1, 1), (1, 1)).smallest()
    write(ScaleNet(smallest, num_classes=3, labels=Labels.plain(3)), folder / SMALL)
    write_small_front(folder / "small.front.safetensors")
    write_clip(folder / "clip.mp4", moving(4))
    (folder / "boxes.json").write_text(json.dumps({"people.jpg": [[60, 30, 400, 560]]}))
    camvid_form(folder / "DATA" / "camvid", train=2, val=2, classes=11)
    (camvid_form(folder / "my_streets", train=2, val=2) / "classes.txt").write_text("road\nbuilding\nsky\n")
    for split in ("train", "val"):
        coco_form(folder / "my_people", [[person(70, 90)], [person(120, 100, 140)]], split=split)
    joints = np.column_stack([np.linspace(40, 200, 17), np.linspace(30, 170, 17), np.full(17, 2.0)])
    annotations = coco_form(folder / "DATA" / "coco", [[joints]], COCO, "val2017")
    (folder / "results.json").write_text(json.dumps(results_of(json.loads(annotations.read_text()))))
    for name in ("hubconf.py", "training", "scalenet"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_page(page: str, online: bool = False) -> int:
    """Run a page's blocks in the working directory; returns how many.

    Raises:
        StaleError: naming the block that fails, or what it should have put out.
    """
    from .docs_commands import run_commands

    count, names = 0, {"__name__": "__docs__"}
    for block in blocks(page):
        if block.language == "python":
            code = compile(block.text, block.where, "exec", dont_inherit=True)
            if not block.reason:
                compare(block.where, block.output, run_python(block, code, names))
                count += 1
        elif block.language in RUN:
            count += run_commands(block, online)
    return count


def run_python(block: Block, code: object, names: dict[str, object]) -> str:
    """What the block prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(code, names)
        except Exception as e:
            raise StaleError(f"{block.where} fails: {type(e).__name__}: {e}\n{block.text}") from e
    return out.getvalue()


def compare(where: str, expected: str, printed: str) -> None:
    """Nothing is expected, or all lines agree: words exactly, numbers nearly, ``…`` with anything.

    Raises:
        StaleError: naming the first line that is not there.
    """
    lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
    for line in filter(str.strip, expected.splitlines()):
        line = " ".join(line.split())
        if line == "…":
            continue
        if not any(same(line, other) for other in lines):
            raise StaleError(f"{where} should print\n  {line}\nit prints\n{printed}")


def same(expected: str, line: str) -> bool:
    """Whether a line is the expected one, up to a small difference of its numbers."""
    parts = re.split(f"(…|{NUMBER.pattern})", expected)
    kinds = ("(.+?)" if p == "…" else f"({NUMBER.pattern})" if NUMBER.fullmatch(p) else re.escape(p) for p in parts)
    pattern = "".join(kinds)
    found = re.fullmatch(pattern, line)
    if not found:
        return False
    pairs = zip(re.findall(f"…|{NUMBER.pattern}", expected), found.groups(), strict=True)
    return all(near(a, b) for a, b in pairs if a != "…")


def near(a: str, b: str) -> bool:
    """Whole numbers are the same, others within 3 % and three of their last digit (machines differ a little)."""
    _, point, decimals = a.partition(".")
    return abs(float(a) - float(b)) <= 3 * 10.0 ** -len(decimals) + 0.03 * abs(float(a)) if point else a == b
