"""``scalenet pose IMAGE…`` and ``scalenet pose VIDEO``: skeletons drawn, joints as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.labels import DECODERS
from ..data.samples import sample_portrait
from ..runtime.command_line import positive
from . import inputs
from .batch import Batch, Job, is_file_name, keep_results, plan
from .clip import check_budget, frames_together, paced, run_video, target_of, the_video
from .keypoint_file import KeypointFile, check_ids, image_id, part_of
from .options import add_budget, add_engine, add_threads, numbers, use_threads

RESULTS, DRAWN = "keypoints.json", "_pose.png"
NETWORK, BOTTOMUP_NETWORK = "scalenet_p0", "scalenet_p0_bottomup"
PEOPLE_TOGETHER = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    inputs.add_arguments(parser)
    parser.add_argument("-m", "--model", help=f"network (default: {NETWORK}, with --bottom-up {BOTTOMUP_NETWORK})")
    parser.add_argument(
        "-o", "--out", default=".",
        help=f"folder for *_pose.png and {RESULTS} (default: here), or for one image the drawing's file, beside which "
        "FILE.json is; for a video a folder or FILE.mp4, with the people of every frame in FILE.jsonl beside it",
    )  # fmt: skip
    parser.add_argument("--sample", action="store_true", help="also use the portrait that ships with matplotlib")
    people = parser.add_mutually_exclusive_group()
    people.add_argument(
        "--boxes", metavar="FILE",
        help="{file name: [[x, y, w, h], …]}, COCO results or COCO annotations (default: detect people)",
    )  # fmt: skip
    people.add_argument(
        "--detector", metavar="WHO",
        help="person detector: bottomup (default), bottomup:NAME, torchvision:NAME (downloaded), a YOLOX .onnx "
        "file, or none (the whole image is one person)",
    )  # fmt: skip
    people.add_argument(
        "--bottom-up", action="store_true",
        help="bottom-up only, without the top-down network; implied by a bottom-up network",
    )  # fmt: skip
    parser.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, help="flip test (default: on for top-down, off for bottom-up)"
    )
    parser.add_argument("--scales", type=numbers, help="bottom-up: multi-scale test, for example 0.5,1,2")
    parser.add_argument("--decode", choices=DECODERS, help="decoder of the heatmaps (default: the network's)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first that is available)")
    add_threads(parser)
    add_engine(parser)
    add_budget(parser)
    parser.add_argument(
        "--batch-size", type=positive,
        help=f"people per forward pass (default: {PEOPLE_TOGETHER}); bottom-up: images (1; for videos 4, on a GPU 8)",
    )  # fmt: skip
    parser.add_argument(
        "--track", action=argparse.BooleanOptionalAction, default=True, help="track people over the frames of a video"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Find joints, write one image each and one results file, or a video; returns what each image holds, and what
    failed.
    """
    sources = inputs.find_sources([*args.images, *([str(sample_portrait())] if args.sample else [])], args.recursive)
    if not sources:
        raise ValueError("no image: give files, or --sample for a portrait that ships with matplotlib")
    use_threads(args)
    args.model = args.model or (BOTTOMUP_NETWORK if args.bottom_up else NETWORK)
    args.bottom_up = args.bottom_up or is_bottomup(args.model)
    video = the_video(sources, args.out)
    check_budget(args, video)
    if video is not None:
        return _run_video(args, video)
    jobs, file = plan(args, sources, ["pose.png"]), results_file(args)
    keep_results(args, [file, part_of(file), *(job.targets[0] for job in jobs)])
    before = drawn_before(file.parent) if args.skip_existing and not is_file_name(Path(args.out)) else []
    check_ids([*inputs.unique_names(sources), *before])
    results = KeypointFile(file, resume=args.skip_existing)
    wanted = [job for job in jobs if not (job.targets[0].exists() and results.holds(job.name))]
    wanted = wanted if args.skip_existing else jobs
    batch = Batch(args, wanted, len(jobs) - len(wanted))
    found = _find(args, batch, sources)
    batch.make_folders()
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = _write_all(args, batch, found, results)
    if not args.json:
        print(f"results in COCO's form: {file}")
    return {"model": args.model, "results": str(file), "images": rows, **batch.summary()}


def is_bottomup(name: str) -> bool:
    """Whether a network's name is that of a bottom-up one."""
    return name.partition(".")[0].endswith("_bottomup")


def results_file(args: argparse.Namespace) -> Path:
    """Where the results in COCO's form go: a file of its own for each shard."""
    out = Path(args.out)
    if is_file_name(out):
        return out.with_suffix(".json")
    stem = Path(RESULTS).stem
    return out / (RESULTS if args.shard is None else f"{stem}_{args.shard[0]}_of_{args.shard[1]}.json")


def drawn_before(folder: Path) -> list[str]:
    """Names of the images whose drawings are in a folder of results."""
    return sorted(path.name.removesuffix(DRAWN) for path in folder.glob(f"*{DRAWN}"))


def _write_all(args: argparse.Namespace, batch: Batch, found: Iterable[Any], results: KeypointFile) -> list[dict]:
    rows = []
    with results:
        for job, pixels, result in batch.done(found):
            results.add(job.name, result.to_coco(image_id(job.name)))
            (drawn,) = job.targets
            result.save(drawn, pixels)
            if args.json:
                row = {"image": job.source.text, "drawn": str(drawn), "people": len(result)}
                rows.append({**row, **result.to_dict()})
            else:
                batch.say(f"{job.source.text}: {people_words(result)}, drawn in {drawn}")
    return rows


def people_words(result: Any) -> str:
    """How many people were found, and the first ones' scores."""
    who = "nobody" if not len(result) else "1 person" if len(result) == 1 else f"{len(result)} people"
    return f"{who} {' '.join(f'{s:.2f}' for s in result.scores[:8])}".rstrip()


def _run_video(args: argparse.Namespace, video: Path) -> dict[str, Any]:
    from ..video.tracking import tracker_for

    if args.boxes:
        raise ValueError("--boxes is for images; in a video people are detected: see --detector and --bottom-up")
    target, trackers = target_of(video, args, "pose"), []
    detector = None if args.target_fps is None else _detector(args)

    def make(network: Any) -> Any:
        estimator = _estimator(args, frames_together(args), detector, network)
        if args.track:
            trackers.append(tracker_for(estimator))
        return estimator

    estimator = paced(args, make)
    return run_video(args, video, target, estimator, trackers[0] if trackers else None)


def _find(args: argparse.Namespace, batch: Batch, sources: Sequence[inputs.ImageSource]) -> Iterable[Any]:
    """Results of the batch's images, in order, as they are asked for."""
    from ..data.boxes import boxes_for, boxes_of, read_boxes

    estimator = _estimator(args, args.batch_size)
    if not args.boxes:
        return estimator.stream(batch.images())
    table = read_boxes(args.boxes)
    boxes_for(table, [source.text for source in sources], args.boxes)  # at least one is named
    nobody = np.zeros((0, 5))

    def boxes_at(job: Job) -> np.ndarray:
        boxes = boxes_of(table, job.source.text)
        return nobody if boxes is None else boxes

    return estimator.stream(batch.images(), batch.loaded(boxes_at))


def _detector(args: argparse.Namespace) -> Any:
    """Who finds people, one for all networks of a front; None where nobody does."""
    from ..engines.base import engine_device
    from ..predict.detector import make_detector

    device = engine_device(args.device, args.engine)
    return None if args.bottom_up else make_detector(_finder(args), device, args.engine, args.dtype)


def _finder(args: argparse.Namespace) -> str | None:
    return None if args.detector == "none" else args.detector or "bottomup"


def _estimator(args: argparse.Namespace, batch_size: int | None, detector: Any = None, network: Any = None) -> Any:
    if args.bottom_up:
        return _bottomup(args, batch_size, network)
    from ..archs.tasks import BOTTOMUP, WrongTask
    from ..predict.topdown import PoseEstimator

    if args.scales:
        raise ValueError("--scales is for bottom-up networks only")
    detector = detector or _finder(args)
    options = {"flip": args.flip is not False, "decode": args.decode, "detector": detector}
    options |= {"engine": args.engine, "dtype": args.dtype, "calibration": args.calibration}
    options |= {"max_macs": args.max_macs, "max_latency_ms": args.max_latency}
    try:
        return PoseEstimator(network or args.model, args.device, batch_size or PEOPLE_TOGETHER, **options)
    except WrongTask as e:
        if e.task != BOTTOMUP.name:
            raise
        return _bottomup(args, batch_size, network)


def _bottomup(args: argparse.Namespace, batch_size: int | None, network: Any) -> Any:
    from ..predict.bottomup import BottomUpPoseEstimator

    for option in ("decode", "detector", "boxes"):
        if getattr(args, option):
            raise ValueError(f"--{option} is for top-down networks, {args.model} is bottom-up: leave it out")
    looks = {"flip": bool(args.flip), "scales": args.scales or (1.0,), "engine": args.engine, "dtype": args.dtype}
    looks["calibration"] = args.calibration
    looks |= {"max_macs": args.max_macs, "max_latency_ms": args.max_latency}
    return BottomUpPoseEstimator(network or args.model, args.device, batch_size or 1, **looks)
