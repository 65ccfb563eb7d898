"""``scalenet segment IMAGE…`` and ``scalenet segment VIDEO``: colour overlays, index masks, a coloured video."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from ..data.labels import UPSAMPLED
from ..data.samples import sample_photograph
from ..runtime.command_line import positive
from . import inputs
from .batch import Batch, Job, keep_results, plan
from .clip import check_budget, frames_together, paced, run_video, target_of, the_video
from .options import add_budget, add_engine, add_threads, height_width, numbers, use_threads

KINDS = ("overlay.png", "mask.png")
PROBABILITIES = "probabilities.npz"
NETWORK = "scalenet_s0"
SAID = f"network {NETWORK}, which knows streets; for people give -m scalenet_s0.person"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    inputs.add_arguments(parser)
    parser.add_argument("-m", "--model", help=f"network (default: {NETWORK})")
    _add_outputs(parser)
    parser.add_argument("--sample", action="store_true", help="also segment a photograph that ships with scikit-learn")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the first that is available)")
    add_threads(parser)
    add_engine(parser)
    parser.add_argument(
        "--batch-size", type=positive, help="images of one size per forward pass (default: 1; for videos 4, on a GPU 8)"
    )
    add_budget(parser)
    parser.add_argument("--flip", action="store_true", help="flip test: average with the mirrored image")
    parser.add_argument(
        "--scales", type=numbers, default=(1.0,), help="multi-scale test: average over scales, for example 0.75,1,1.25"
    )
    parser.add_argument(
        "--window", type=height_width, help="sliding-window inference with HxW windows, for example 360x480"
    )
    parser.add_argument("--overlap", type=float, default=0.25, help="overlap of neighbouring windows, as a fraction")
    parser.add_argument(
        "--upsample", choices=UPSAMPLED, default="logits",
        help="resize the logits to the image, or the class indices: faster, coarser borders (default: logits)",
    )  # fmt: skip
    parser.add_argument("--full-size", action="store_true", help="do not reduce large images to the network's input")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--out", default=".",
        help="folder for *_overlay.png and *_mask.png (default: here), or for one image the overlay's file, beside "
        "which *_mask.png is; for a video a folder or FILE.mp4, beside which FILE.jsonl tells its classes frame by "
        "frame",
    )  # fmt: skip
    parser.add_argument(
        "--min-confidence", type=float, metavar="P",
        help="mark pixels with a lower confidence, 0..1, as unknown: 255 in masks, uncoloured (default: none)",
    )  # fmt: skip
    parser.add_argument("--palette", action="store_true", help="write masks as palette PNGs in the classes' colours")
    parser.add_argument(
        "--masks", metavar="FOLDER",
        help="for a video: also write the mask of every frame, as a palette PNG in the classes' colours, to this "
        "new or empty folder",
    )  # fmt: skip
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also *_probabilities.npz: class probabilities, (classes, H, W) float32",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Segment images and write two files for each, or a video; returns sizes, classes and shares, and what failed."""
    sources = inputs.find_sources([*args.images, *([str(sample_photograph())] if args.sample else [])], args.recursive)
    if not sources:
        raise ValueError("no image: give files, or --sample for a photograph that ships with scikit-learn")
    use_threads(args)
    said, args.model = args.model is None and not args.json, args.model or NETWORK
    video = the_video(sources, args.out)
    check_budget(args, video)
    _check_kinds(args, video)
    if video is not None:
        target = target_of(video, args, "overlay")
        estimator = paced(args, partial(_segmenter, args, frames_together(args)))
        return run_video(args, video, target, estimator, masks=args.masks)
    jobs = plan(args, sources, (*KINDS, PROBABILITIES) if args.probabilities else KINDS)
    keep_results(args, (target for job in jobs for target in job.targets))
    wanted = [job for job in jobs if not (args.skip_existing and all(t.exists() for t in job.targets))]
    batch = Batch(args, wanted, len(jobs) - len(wanted))
    segmenter = _segmenter(args, args.batch_size or 1)
    batch.make_folders()
    if said:
        print(SAID)
    rows = []
    for job, pixels, result in batch.done(segmenter.stream(batch.images())):
        row = _write(job, pixels, result, args.palette)
        if args.json:
            rows.append(row)
        else:
            batch.say(_text(row, result))
    return {"model": args.model, "images": rows, **batch.summary()}


def _segmenter(args: argparse.Namespace, batch_size: int, network: Any = None) -> Any:
    from ..predict.segmentation import Segmenter

    unsure = {} if args.min_confidence is None else {"min_confidence": args.min_confidence}
    return Segmenter(
        network or args.model, args.device, batch_size, flip=args.flip, scales=args.scales, window=args.window,
        overlap=args.overlap, resize=not args.full_size, engine=args.engine, dtype=args.dtype,
        calibration=args.calibration, max_macs=args.max_macs, max_latency_ms=args.max_latency,
        upsample=args.upsample, probabilities=args.probabilities, **unsure,
    )  # fmt: skip


def _check_kinds(args: argparse.Namespace, video: Path | None) -> None:
    if args.masks is not None and video is None:
        raise ValueError("--masks is for the frames of a video: for images, masks are always written")
    if args.masks is not None:
        from ..video.process import empty_folder

        empty_folder(args.masks)
    if args.probabilities and video is not None:
        raise ValueError("--probabilities is for images, not for a video")


def _write(job: Job, pixels: Any, result: Any, palette: bool) -> dict[str, Any]:
    from ..predict.probabilities import save_probabilities

    overlay, mask, *others = job.targets
    result.save(overlay, pixels)
    (result.save_palette if palette else result.save)(mask)
    written = {"overlay": str(overlay), "mask": str(mask)}
    for path in others:
        written["probabilities"] = str(save_probabilities(path, result.probabilities, result.classes))
    return {"image": job.source.text, **written, **result.to_dict()}


def _text(row: dict[str, Any], result: Any) -> str:
    from ..predict.results import percent

    height, width = row["size"]
    shares = [f"  {percent(share):>6}  {name}" for name, share in result.found().items()]
    head = f"{row['image']} ({width} wide, {height} high)"
    unknown = [f"  {percent(result.unknown):>6}  unknown (below --min-confidence)"] if result.unknown else []
    note = [f"  note    {result.note}"] if result.note else []
    files = [f"  {kind:<7} {row[kind]}" for kind in ("overlay", "mask", "probabilities") if kind in row]
    return "\n".join([head, *shares, *unknown, *note, *files])
