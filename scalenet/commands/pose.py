"""``scalenet pose IMAGE…`` and ``scalenet pose VIDEO``: skeletons drawn, joints as JSON."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..labels import DECODERS
from .clip import frames_together, run_video, target_of, the_video
from .options import add_engine, numbers, positive
from .segment import keep_inputs, unique_names

# Corners. The portrait ends at the chest, the person does not: a network that learned from whole people is told where
# the rest would be, and no detector is asked to find a person in half of one.
SAMPLE_BOX = [[-150, 0, 660, 1300]]
RESULTS = "keypoints.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files, or one video")
    parser.add_argument("-m", "--model", help="network (default: scalenet_p0, with --bottom-up scalenet_p0_bottomup)")
    parser.add_argument(
        "-o", "--out", default=".",
        help=f"folder for *_pose.png and {RESULTS} (default: here); for a video a folder or FILE.mp4, beside "
        "which FILE.jsonl tells its people frame by frame",
    )  # fmt: skip
    parser.add_argument("--sample", action="store_true", help="also the portrait that ships in matplotlib")
    people = parser.add_mutually_exclusive_group()
    people.add_argument(
        "--boxes", metavar="FILE", help="{file name: [[x, y, w, h], …]} or COCO results (default: people are found)"
    )
    people.add_argument(
        "--detector", metavar="WHO",
        help="finds people, who are then looked at one by one: bottomup (default), bottomup:NAME, torchvision:NAME "
        "(downloads it), a .onnx file of YOLOX's form, or none (the whole image is one person)",
    )  # fmt: skip
    people.add_argument("--bottom-up", action="store_true", help="everybody at once, without a second look")
    parser.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, help="look at people mirrored too (default: not for bottom-up)"
    )
    parser.add_argument("--scales", type=numbers, help="bottom-up: look at several sizes, for example 0.5,1,2")
    parser.add_argument("--decode", choices=DECODERS, help="joints from heatmaps (default: the network's)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first there is)")
    add_engine(parser)
    parser.add_argument(
        "--batch-size", type=positive,
        help="people that run together (default: 32), or images for bottom-up (1); for videos 4, on a GPU 8",
    )  # fmt: skip
    parser.add_argument(
        "--track", action=argparse.BooleanOptionalAction, default=True, help="follow people through a video"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Find joints, write one image each and one results file, or a video; returns what each image holds."""
    from ..data.images import check_file
    from ..data.keypoints import write_json

    paths = [Path(p) for p in args.images] + ([sample_portrait()] if args.sample else [])
    if not paths:
        raise ValueError("no image: give files, or --sample for a portrait that ships in matplotlib")
    args.model = args.model or ("scalenet_p0_bottomup" if args.bottom_up else "scalenet_p0")
    video = the_video(paths, args.out)
    if video is not None:
        return _run_video(args, video)
    for path in paths:
        check_file(path)
    out, names = Path(args.out), unique_names(paths)
    targets = [out / f"{name}_pose.png" for name in names]
    keep_inputs(paths, targets)
    results = _find(args, paths)
    out.mkdir(parents=True, exist_ok=True)
    rows, entries = [], []
    for path, name, drawn, result in zip(paths, names, targets, results, strict=True):
        result.save(drawn, path)
        entries += result.to_coco(int(name) if name.isdecimal() else name)
        rows.append({"image": str(path), "drawn": str(drawn), "people": len(result), **result.to_dict()})
        if not args.json:
            who = "nobody" if not len(result) else "1 person" if len(result) == 1 else f"{len(result)} people"
            print(f"{path}: {who} {' '.join(f'{s:.2f}' for s in result.scores[:8])}, drawn in {drawn}")
    file = write_json(out / RESULTS, entries)
    if not args.json:
        print(f"results in COCO's form: {file}")
    return {"model": args.model, "results": str(file), "images": rows}


def _run_video(args: argparse.Namespace, video: Path) -> dict[str, Any]:
    from ..video.tracking import Tracker

    if args.boxes:
        raise ValueError("--boxes names images; in a video people are found: see --detector and --bottom-up")
    target = target_of(video, args.out, "pose")
    return run_video(args, video, target, _estimator(args, frames_together(args)), Tracker() if args.track else None)


def _find(args: argparse.Namespace, paths: list[Path]) -> list[Any]:
    from ..data.boxes import boxes_for, read_boxes

    estimator = _estimator(args, args.batch_size or (1 if args.bottom_up else 32))
    if args.boxes:
        return estimator(paths, boxes_for(read_boxes(args.boxes), paths, args.boxes))
    if args.sample and not (args.bottom_up or args.detector):
        return estimator(paths, [None] * (len(paths) - 1) + [SAMPLE_BOX])
    return estimator(paths)


def _estimator(args: argparse.Namespace, batch_size: int) -> Any:
    if args.bottom_up:
        if args.decode:
            raise ValueError("--decode is for people in boxes: leave it out with --bottom-up")
        from ..predict.bottomup import BottomUpPoseEstimator

        looks = {"flip": bool(args.flip), "scales": args.scales or (1.0,)}
        return BottomUpPoseEstimator(args.model, args.device, batch_size, engine=args.engine, dtype=args.dtype, **looks)
    if args.scales:
        raise ValueError("--scales is for --bottom-up: a person in a box is looked at in one size")
    from ..predict.topdown import PoseEstimator

    detector = None if args.detector == "none" else args.detector or "bottomup"
    options = {"flip": args.flip is not False, "decode": args.decode, "detector": detector}
    options |= {"engine": args.engine, "dtype": args.dtype}
    return PoseEstimator(args.model, args.device, batch_size, **options)


def sample_portrait() -> Path:
    """The photograph grace_hopper.jpg inside matplotlib (which is not imported).

    Raises:
        ValueError: if matplotlib is not installed.
    """
    spec = find_spec("matplotlib")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    path = folder / "mpl-data" / "sample_data" / "grace_hopper.jpg" if folder else None
    if path is None or not path.is_file():
        raise ValueError("--sample needs matplotlib (pip install matplotlib); or give an image of your own")
    return path
