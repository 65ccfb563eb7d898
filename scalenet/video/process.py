"""Annotate videos in constant memory: frames are decoded and encoded in the background while the network runs."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ..data.io import atomic_write
from ..predict.results import SegmentationResult
from ..runtime.pipeline import Behind, ahead
from .reader import Frame, VideoError, VideoInfo, is_video, probe, read_frames
from .results import Draw, Tally, drawer, tally
from .tracking import Tracker
from .writer import VideoWriter, finish

__all__ = [
    "Draw", "VideoError", "VideoInfo", "VideoInterrupted", "VideoSummary", "drawer", "is_video", "probe",
    "process_video",
]  # fmt: skip

WAITING_BYTES = 1 << 27  # of frames that wait on either side of the network


class Estimator(Protocol):
    """Anything that yields a result with ``draw(image)`` and ``to_dict()`` for every image, in order.

    :class:`~scalenet.Segmenter`, :class:`~scalenet.PoseEstimator` and :class:`~scalenet.BottomUpPoseEstimator` are.
    """

    def stream(self, images: Iterable[np.ndarray]) -> Iterator[Any]:
        """One result for each RGB uint8 (H, W, 3) image."""


@dataclass(frozen=True)
class VideoSummary:
    """Summary of a processed video.

    Args:
        source, target: input and output file; json: the JSON lines file, or None.
        frames: number of frames written; expected: number of frames the source declares, or None.
        size: (H, W) of the written frames.
        fps: mean frame rate of the source.
        duration: of the written video, seconds.
        seconds: wall time of processing.
        sound: whether the source's audio was copied.
        found: ``{"classes": [names], "shares": [mean over the frames]}``, or ``{"people": number of ids (None without a
            tracker), "most_people": maximum in a frame}``, depending on the estimator.
        members: number of frames per member of a front, if the estimator switches between them; else None.
        masks: the folder of masks, or None.
    """

    source: Path
    target: Path
    json: Path | None
    frames: int
    expected: int | None
    size: tuple[int, int]
    fps: float
    duration: float
    seconds: float
    sound: bool
    found: dict[str, Any]
    members: dict[str, int] | None = None
    masks: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""
        more: dict[str, Any] = {} if self.members is None else {"members": self.members}
        more |= {} if self.masks is None else {"masks": str(self.masks)}
        return {
            "video": str(self.source), "out": str(self.target), "results": self.json and str(self.json),
            "frames": self.frames, "expected": self.expected, "size": list(self.size), "fps": round(self.fps, 4),
            "duration": round(self.duration, 4), "seconds": round(self.seconds, 3), "sound": self.sound, **self.found,
            **more,
        }  # fmt: skip


class VideoInterrupted(KeyboardInterrupt):
    """Ctrl-C during a video; ``summary`` describes what was kept."""

    def __init__(self, summary: VideoSummary) -> None:
        super().__init__(f"stopped after {summary.frames} frames")
        self.summary = summary


def process_video(
    source: str | Path, target: str | Path, estimator: Estimator, *, draw: Draw | None = None,
    json_path: str | Path | None = None, masks: str | Path | None = None, tracker: Tracker | None = None,
    progress: Callable[[int, int | None], None] | None = None, max_frames: int | None = None,
) -> VideoSummary:  # fmt: skip
    """Run an estimator over a video and write the video with the results drawn on it.

    Frames run in batches of the estimator's ``batch_size`` (one of :mod:`.pace` keeps a frame rate), turned upright.
    Size (odd sides get one more pixel), timestamps and the first audio track that mp4 can hold are kept. The target,
    H.264 in mp4, is written under a temporary name beside it (``.NAME.….tmp.mp4``), which is playable even if the
    process is killed, and is renamed when complete, or when Ctrl-C ends it early.

    Args:
        draw: called in another thread with a result and its RGB frame; returns the image to write (:func:`drawer`).
        json_path: file for JSON lines: each frame's ``to_dict()`` with "frame" (from 0) and "time" in seconds.
        masks: new or empty folder for a palette PNG of each frame's classes, from 000000.png; segmentation only.
        tracker: assigns people ids that persist over frames; pose only.
        progress: called in this thread with the frames done and expected (None: unknown); may raise to stop.
        max_frames: stop after this many frames.

    Raises:
        FileNotFoundError, VideoError, ImportError: as :func:`probe`.
        VideoError: if the target is not an ``.mp4``, is the source itself, or it or ``masks`` cannot be written.
        VideoInterrupted: on Ctrl-C, after the frames so far were kept; without any, KeyboardInterrupt itself.
    """
    started, info, target = time.perf_counter(), probe(source), check_target(source, target)
    json_path = None if json_path is None else _check_other(source, Path(json_path))
    folder = None if masks is None else empty_folder(masks)
    with ExitStack() as stack:
        lines = None if json_path is None else stack.enter_context(_lines(json_path))
        whole = stack.enter_context(atomic_write(target))
        job = stack.enter_context(closing(_Job(info, whole, draw or drawer(), lines, folder)))
        stopped = _run(job, estimator, tracker, progress, max_frames)
    summary = VideoSummary(
        info.path, target, json_path, job.frames, info.frames, job.size, float(info.fps), job.duration,
        time.perf_counter() - started, job.sound, job.found(), _members(estimator), folder,
    )  # fmt: skip
    if stopped:
        raise VideoInterrupted(summary)
    return summary


def _members(estimator: Estimator) -> dict[str, int] | None:
    counted = getattr(estimator, "frames_by_member", None)
    return None if counted is None else dict(counted)


def check_target(source: str | Path, target: str | Path) -> Path:
    """The target as a path.

    Raises:
        VideoError: if it is not an ``.mp4``, is a folder or the source itself, or its folder does not exist.
    """
    target = Path(target)
    if target.suffix.lower() != ".mp4":
        raise VideoError(f"videos are written as .mp4, not {target.name!r}")
    if target.is_dir() or not target.parent.is_dir():
        what = target if target.is_dir() else target.parent
        raise VideoError(f"{what} is a folder" if target.is_dir() else f"there is no folder {what}")
    return _check_other(source, target)


def _check_other(source: str | Path, target: Path) -> Path:
    if target.exists() and target.samefile(source):
        raise VideoError(f"{target} is the video that is read: give another name for the result")
    return target


def empty_folder(name: str | Path) -> Path:
    """The folder of that name, created if needed.

    Raises:
        VideoError: if it is a file or not empty, so that masks of different videos are not mixed.
    """
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VideoError(f"{folder} is not an empty folder: name a new one for the masks")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(
    job: _Job, estimator: Estimator, tracker: Tracker | None, progress: Callable[[int, int | None], None] | None,
    max_frames: int | None,
) -> bool:  # fmt: skip
    """Do all frames; whether Ctrl-C ended it after the first."""
    try:
        _do_frames(job, estimator, tracker, progress, max_frames)
    except KeyboardInterrupt:
        if not job.frames:
            raise
        return True
    return False


def _do_frames(
    job: _Job, estimator: Estimator, tracker: Tracker | None, progress: Callable[[int, int | None], None] | None,
    max_frames: int | None,
) -> None:  # fmt: skip
    total = job.info.frames if max_frames is None else min(max_frames, job.info.frames or max_frames)
    batch, frame_bytes = getattr(estimator, "batch_size", 1), 3 * job.info.size[0] * job.info.size[1]
    most = max(2, min(2 * batch, WAITING_BYTES // frame_bytes))
    waiting: deque[Frame] = deque()
    with (
        closing(ahead(read_frames(job.info.path, max_frames), most)) as frames,
        Behind(job.step, most, job.end) as behind,
    ):

        def images() -> Iterator[np.ndarray]:
            for frame in frames:
                waiting.append(frame)
                yield frame.image

        done = 0
        for done, result in enumerate(estimator.stream(images()), start=1):
            if tracker is not None:
                result = tracker.update(result)
            behind.put((waiting.popleft(), result))
            if progress is not None:
                progress(done, None if total is None else max(done, total))
    if progress is not None and done != total:
        progress(done, done)


class _Job:
    """What happens to each result, in the writing thread."""

    def __init__(self, info: VideoInfo, path: Path, draw: Draw, lines: IO[str] | None, masks: Path | None) -> None:
        self.info, self.path, self.draw, self.lines, self.masks = info, path, draw, lines, masks
        self.frames, self.duration, self.sound = 0, 0.0, False
        self.writer: VideoWriter | None = None
        self._tally: Tally | None = None

    def step(self, item: tuple[Frame, Any]) -> None:
        """Draw, encode and describe one frame."""
        frame, result = item
        drawn = self.draw(result, frame.image)
        if self.writer is None:
            info = self.info
            self.writer = VideoWriter(self.path, drawn.shape[:2], info.fps, info.time_base, info.aspect)
        self.writer.write(drawn, frame.pts, frame.duration)
        self.duration = float((frame.pts + frame.duration) * self.info.time_base)
        if self.lines is not None:
            row = {"frame": self.frames, "time": round(float(frame.pts * self.info.time_base), 6), **result.to_dict()}
            self.lines.write(json.dumps(row) + "\n")
            self.lines.flush()
        if self.masks is not None:
            self._save_mask(result, self.masks)
        self._tally = self._tally or tally(result)
        self._tally.add(result)
        self.frames += 1

    def _save_mask(self, result: Any, folder: Path) -> None:
        if not isinstance(result, SegmentationResult):
            raise VideoError("masks need a segmentation network: these results have none")
        result.save_palette(folder / f"{self.frames:06}.png")

    def end(self) -> None:
        """Complete the file."""
        if self.writer is not None:
            self.writer.close()
            self.sound = finish(self.path, self.info.path, self.info.start, self.info.start + self.duration)

    def close(self) -> None:
        """Let go of the file, whole or not."""
        if self.writer is not None:
            self.writer.let_go()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the written frames."""
        if self.writer is None:
            raise RuntimeError("no frame is written yet")
        (h, w), (below, beside) = self.writer.size, self.writer.padding
        return h + below, w + beside

    def found(self) -> dict[str, Any]:
        """What all frames hold together."""
        return self._tally.found() if self._tally else {}


@contextmanager
def _lines(path: str | Path) -> Iterator[IO[str]]:
    """A text file that appears whole or not at all; what is written so far lies under its temporary name."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
