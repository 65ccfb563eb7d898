"""What ``segment`` and ``pose`` do when they are given a video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .batch import keep_results
from .inputs import ImageSource

SUFFIX = ".mp4"
BATCH, GPU_BATCH = 4, 8  # frames


def the_video(sources: Sequence[ImageSource], out: str) -> Path | None:
    """The video among the inputs, looked at; None if all are images.

    Raises:
        ValueError: if a video does not come alone or cannot be read, or a folder's name for images is a video's.
    """
    from ..video.reader import is_video, probe

    videos = [source.path for source in sources if source.path and is_video(source.path)]
    if videos and len(sources) > 1:
        raise ValueError(f"{videos[0]} is a video: give one video and nothing else")
    if not videos and Path(out).suffix.lower() == SUFFIX:
        raise ValueError(f"-o {out} is a video, but the input is not: for images give a folder")
    if not videos:
        return None
    probe(videos[0])
    return videos[0]


def check_budget(args: argparse.Namespace, video: Path | None) -> None:
    """Refuse limits that contradict each other or the input.

    Raises:
        ValueError: saying what to leave out.
    """
    if args.target_fps is not None and video is None:
        raise ValueError("--target-fps is for a video: for images give --max-latency")
    if args.target_fps is not None and (args.max_macs is not None or args.max_latency is not None):
        raise ValueError("--target-fps chooses among all networks of the front: leave out --max-macs and --max-latency")


def paced(args: argparse.Namespace, make: Callable[[Any], Any]) -> Any:
    """``make(network)`` for the networks that keep ``--target-fps``, or ``make(None)`` for the model as it is named."""
    if args.target_fps is None:
        return make(None)
    from ..video.pace import PacedEstimator

    return PacedEstimator(args.model, args.target_fps, make)


def frames_together(args: argparse.Namespace) -> int:
    """Frames per forward pass: what was asked for, else 8 on a GPU and 4 on a CPU."""
    from ..runtime.device import pick_device

    return args.batch_size or (BATCH if pick_device(args.device).type == "cpu" else GPU_BATCH)


def target_of(source: Path, args: argparse.Namespace, kind: str) -> Path:
    """``args.out`` if it is a video's name, else NAME_KIND.mp4 in the folder of that name; folders are made.

    Raises:
        ValueError: if it is the name of another kind of video, the source itself, or exists and is to be kept.
    """
    from ..video.process import check_target
    from ..video.reader import SUFFIXES

    target = Path(args.out)
    if target.suffix.lower() not in SUFFIXES or target.is_dir():
        target = target / f"{source.stem}_{kind}{SUFFIX}"
    if target.suffix.lower() == SUFFIX:
        target.parent.mkdir(parents=True, exist_ok=True)
    check_target(source, target)
    if args.skip_existing:
        raise ValueError("--skip-existing is for images: --overwrite processes a video again")
    keep_results(args, [target, target.with_suffix(".jsonl")])
    return target


def run_video(
    args: argparse.Namespace, source: Path, target: Path, estimator: Any, tracker: Any = None,
    masks: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write the video, its JSON lines and ``masks`` (in a folder), with a bar on stderr; returns the summary.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after saying what was kept.
    """
    from tqdm import tqdm

    from ..video.process import VideoInterrupted, process_video

    with tqdm(unit="frame", file=sys.stderr, disable=args.json, dynamic_ncols=True) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            summary = process_video(
                source, target, estimator, json_path=target.with_suffix(".jsonl"), masks=masks, tracker=tracker,
                progress=progress,
            )  # fmt: skip
        except VideoInterrupted as e:
            bar.close()
            print(f"scalenet {args.command}: {e}, kept in {e.summary.target}{_members(e.summary)}", file=sys.stderr)
            raise
    if not args.json:
        _print(summary)
    return {"model": args.model, **summary.to_dict()}


def _print(summary: Any) -> None:
    from ..predict.results import percent

    height, width = summary.size
    of = f" of {summary.expected}" if summary.expected not in (None, summary.frames) else ""
    print(
        f"{summary.source} ({width} wide, {height} high): {summary.frames}{of} frames, "
        f"{summary.fps:.4g} a second, done in {summary.seconds:.1f} s"
    )
    found = summary.found
    if "shares" in found:
        for share, name in sorted(zip(found["shares"], found["classes"], strict=True), reverse=True):
            if share:
                print(f"  {percent(share):>6}  {name}")
    else:
        different = "" if found["people"] is None else f", {found['people']} different ones"
        who = "1 person" if found["most_people"] == 1 else f"{found['most_people']} people"
        print(f"  at most {who} at once{different}")
    print(f"  video   {summary.target}{' (with sound)' if summary.sound else ''}\n  results {summary.json}", end="")
    print("" if summary.masks is None else f"\n  masks   {summary.masks}", end="")
    print(_members(summary))


def _members(summary: Any) -> str:
    """A line of how many frames each member of a front ran; nothing where no front was stepped through."""
    if summary.members is None:
        return ""
    return "\n  frames  " + ", ".join(f"{count} by {name}" for name, count in summary.members.items())
