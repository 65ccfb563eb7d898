"""What people name on a command line, as single images: files, folders, wildcards, list files, addresses, ``-``."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

STDIN = "-"
LIST_SUFFIX = ".txt"
WILD = "*?["
HELP = "image files, folders, 'wildcards' in quotes, .txt files with one image per line, http(s) URLs, - for " \
    "standard input; or one video"  # fmt: skip


@dataclass(frozen=True)
class ImageSource:
    """One image as it was named: a file's path, an http(s) address, or ``-``."""

    text: str

    @property
    def path(self) -> Path | None:
        """Where it lies, None if that is no file."""
        from ..data.sources import is_url

        return None if self.text == STDIN or is_url(self.text) else Path(self.text)

    @property
    def stem(self) -> str:
        """What its results are named by."""
        if self.text == STDIN:
            return "stdin"
        path = self.path
        return path.stem if path else PurePosixPath(unquote(urlsplit(self.text).path)).stem or "image"

    def check(self) -> None:
        """Look at a file's header.

        Raises:
            FileNotFoundError, ImageError: if it is missing, or no image that can be read.
        """
        from ..data.images import check_file

        if self.path is not None:
            check_file(self.path)

    def load(self) -> Any:
        """RGB uint8 (H, W, 3).

        Raises:
            OSError, ImageError: if it cannot be read.
        """
        from ..data.images import decode_rgb, load_image
        from ..data.sources import read_stream

        if self.text == STDIN:
            return decode_rgb(read_stream(sys.stdin.buffer), "standard input")
        return load_image(self.text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which images, and what becomes of those that fail or were done before."""
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=HELP)
    parser.add_argument("--recursive", action="store_true", help="also search subfolders")
    parser.add_argument("--shard", type=shard, metavar="I/N", help="process only part I of N, for example 1/4")
    parser.add_argument("--strict", action="store_true", help="stop at the first image that cannot be read")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--overwrite", action="store_true", help="replace existing results")
    before.add_argument(
        "--skip-existing", action="store_true", help="skip images with existing results, to resume an interrupted run"
    )


def shard(text: str) -> tuple[int, int]:
    """Read "2/4" as (2, 4)."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"a shard is I/N with I from 1 to N, for example 1/4, got {text!r}")
    return int(part), int(parts)


def find_sources(words: Iterable[str], recursive: bool = False) -> list[ImageSource]:
    """The images that words name, in their order; of folders and wildcards sorted by name.

    Raises:
        FileNotFoundError: for a folder or list file without images, or a wildcard that matches nothing.
        ValueError: if ``-`` is named twice.
    """
    found = [ImageSource(text) for word in words for text in _named(word, recursive)]
    if sum(source.text == STDIN for source in found) > 1:
        raise ValueError("- is standard input, which has one image: give it once")
    return found


def _named(word: str, recursive: bool) -> Iterator[str]:
    from ..data.sources import is_url
    from ..video.reader import SUFFIXES as VIDEOS

    path = Path(word)
    if word == STDIN or is_url(word):
        yield word
    elif path.is_dir() and path.suffix.lower() not in VIDEOS:
        yield from _in_folder(path, recursive)
    elif path.suffix.lower() == LIST_SUFFIX and path.is_file():
        yield from _in_list(path)
    elif any(c in word for c in WILD) and not path.exists():
        matches = sorted(m for m in glob.iglob(word, recursive=True) if not Path(m).is_dir())
        if not matches:
            raise FileNotFoundError(f"no image matches {word}")
        yield from matches
    else:
        yield word


def _in_folder(folder: Path, recursive: bool) -> list[str]:
    from ..data.images import PHONE_SUFFIXES, SUFFIXES
    from ..data.segmentation import hidden

    files = folder.rglob("*") if recursive else folder.iterdir()
    suffixes = (*SUFFIXES, *PHONE_SUFFIXES)
    images = sorted(
        p for p in files if p.suffix.lower() in suffixes and not hidden(p.relative_to(folder)) and p.is_file()
    )  # fmt: skip
    if not images:
        deeper = "" if recursive else "; --recursive looks into its folders too"
        raise FileNotFoundError(f"no image in the folder {folder} ({', '.join(suffixes)}){deeper}")
    return [str(p) for p in images]


def _in_list(path: Path) -> list[str]:
    """Lines that are not empty or comments; a path that is not there as it stands is looked for beside the list."""
    from ..data.sources import is_url

    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text: a list file has one image per line") from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise FileNotFoundError(f"{path} lists no image: a list file has one image per line")
    beside = [name if is_url(name) or Path(name).exists() else str(path.parent / name) for name in names]
    return [b if Path(b).exists() else name for name, b in zip(names, beside, strict=True)]


def unique_names(sources: Iterable[ImageSource]) -> list[str]:
    """The sources' stems, numbered where several share one."""
    taken: set[str] = set()
    next_number: dict[str, int] = {}
    names = []
    for source in sources:
        name, number = source.stem, next_number.get(source.stem, 2)
        while name in taken:
            name, number = f"{source.stem}_{number}", number + 1
        next_number[source.stem] = number
        taken.add(name)
        names.append(name)
    return names
