"""``scalenet segment IMAGE…`` and ``scalenet segment VIDEO``: colour overlays, index masks, a coloured video."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from .clip import frames_together, run_video, target_of, the_video
from .options import height_width, milliseconds, numbers, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files, or one video")
    parser.add_argument("-m", "--model", default="scalenet_s0", help="network (default: %(default)s)")
    parser.add_argument(
        "-o", "--out", default=".",
        help="folder for *_overlay.png and *_mask.png (default: here); for a video a folder or FILE.mp4, "
        "beside which FILE.jsonl tells its classes frame by frame",
    )  # fmt: skip
    parser.add_argument("--sample", action="store_true", help="also segment a photograph that ships in scikit-learn")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first there is)")
    parser.add_argument(
        "--batch-size", type=positive, help="images of one size that run together (default: 1, videos 4, on a GPU 8)"
    )
    parser.add_argument(
        "--max-latency", type=milliseconds, metavar="TIME",
        help="the best network of the model's front that takes at most this for an image here, for example 20ms",
    )  # fmt: skip
    parser.add_argument("--flip", action="store_true", help="also look at the mirrored image")
    parser.add_argument("--scales", type=numbers, default=(1.0,), help="average over scales, for example 0.75,1,1.25")
    parser.add_argument(
        "--window", type=height_width, help="slide an HxW window over large images, for example 360x480"
    )
    parser.add_argument("--overlap", type=float, default=0.25, help="share of a window that the next one covers again")
    parser.add_argument("--full-size", action="store_true", help="do not reduce large images to the network's input")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Segment images and write two files for each, or a video; returns sizes, classes and shares."""
    from ..data.images import check_file

    paths = [Path(p) for p in args.images] + ([sample_photograph()] if args.sample else [])
    if not paths:
        raise ValueError("no image: give files, or --sample for a photograph that ships in scikit-learn")
    video = the_video(paths, args.out)
    if video is not None:
        target = target_of(video, args.out, "overlay")
        return run_video(args, video, target, _segmenter(args, frames_together(args)))
    for path in paths:
        check_file(path)
    out = Path(args.out)
    targets = [[out / f"{name}_{kind}.png" for kind in ("overlay", "mask")] for name in unique_names(paths)]
    keep_inputs(paths, chain(*targets))
    segmenter = _segmenter(args, args.batch_size or 1)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path, (overlay, mask), result in zip(paths, targets, segmenter.stream(paths), strict=True):
        rows.append(_write(path, overlay, mask, result))
        if not args.json:
            _print(rows[-1], result)
    return {"model": args.model, "images": rows}


def _segmenter(args: argparse.Namespace, batch_size: int) -> Any:
    from ..predict.segmentation import Segmenter

    return Segmenter(
        args.model, args.device, batch_size, flip=args.flip, scales=args.scales, window=args.window,
        overlap=args.overlap, resize=not args.full_size, max_latency_ms=args.max_latency,
    )  # fmt: skip


def _write(path: Path, overlay: Path, mask: Path, result: Any) -> dict[str, Any]:
    result.save(overlay, path)
    result.save(mask)
    return {"image": str(path), "overlay": str(overlay), "mask": str(mask), **result.to_dict()}


def _print(row: dict[str, Any], result: Any) -> None:
    from ..predict.results import percent

    height, width = row["size"]
    print(f"{row['image']} ({width} wide, {height} high)")
    for name, share in result.found().items():
        print(f"  {percent(share):>6}  {name}")
    print(f"  overlay {row['overlay']}\n  mask    {row['mask']}")


def unique_names(paths: Iterable[Path]) -> list[str]:
    """The files' stems, numbered where two images share one."""
    names: list[str] = []
    for path in paths:
        name, number = path.stem, 2
        while name in names:
            name, number = f"{path.stem}_{number}", number + 1
        names.append(name)
    return names


def keep_inputs(paths: Iterable[Path], targets: Iterable[Path]) -> None:
    """Refuse to write over an image that was given.

    Raises:
        ValueError: naming it.
    """
    given = {path.resolve() for path in paths}
    for target in targets:
        if target.resolve() in given:
            raise ValueError(f"{target} is one of the images given and would be overwritten: name a folder with -o")


def sample_photograph() -> Path:
    """The photograph china.jpg inside scikit-learn (which is not imported).

    Raises:
        ValueError: if scikit-learn is not installed.
    """
    spec = find_spec("sklearn")
    path = Path(spec.origin).parent / "datasets" / "images" / "china.jpg" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ValueError("--sample needs scikit-learn (pip install scikit-learn); or give an image of your own")
    return path
