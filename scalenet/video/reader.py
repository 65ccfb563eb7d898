"""Videos in: upright RGB frames one by one with their times, whatever the container, bounded in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
FORMATS = "mov,matroska,webm,avi,gif"  # none of them names other files: a playlist would open whatever it likes
MAX_PIXELS, MAX_SIDE = 36_000_000, 16_384  # of a frame: 8192 x 4320 fits
MEGA = MAX_PIXELS // 10**6
MAX_GAP = 600  # seconds between frames; beyond, and backwards, time stamps are taken for damaged
FALLBACK_RATE = Fraction(25)


class VideoError(ValueError):
    """A video that cannot be read or written."""


def load_av() -> ModuleType:
    """PyAV.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import av
    except ImportError:
        raise ImportError("videos need PyAV: pip install av") from None
    return av


def is_video(path: str | Path) -> bool:
    """Whether a file is a video by its suffix (mp4, m4v, mov, avi, mkv, webm); a GIF is one if it is animated."""
    path = Path(path)
    if path.suffix.lower() != ".gif":
        return path.suffix.lower() in SUFFIXES
    try:
        with Image.open(path) as image:
            return getattr(image, "is_animated", False)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header and first frame say.

    Args:
        path: the file.
        size: (H, W) of its frames when upright.
        frames: how many there should be; None where the file does not tell.
        fps: mean frame rate.
        duration: seconds, or None.
        codec: of its video stream, by FFmpeg's name.
        time_base: seconds per unit of a frame's time stamp.
        aspect: sample aspect ratio when upright, width of a pixel by its height.
        start: seconds at which the first frame is shown, by the file's own clock.
    """

    path: Path
    size: tuple[int, int]
    frames: int | None
    fps: Fraction
    duration: float | None
    codec: str
    time_base: Fraction
    aspect: Fraction
    start: float


@dataclass(frozen=True)
class Frame:
    """One image of a video.

    Args:
        image: upright RGB uint8 (H, W, 3).
        pts: its time after the first frame, in units of the video's ``time_base``; it always grows.
        duration: how long it is shown, in the same units.
    """

    image: np.ndarray
    pts: int
    duration: int


def probe(path: str | Path) -> VideoInfo:
    """Look at a video: its header is read and its first frame decoded.

    Raises:
        FileNotFoundError: if there is no such file.
        VideoError: if it is empty, no video, has no frame that can be read, or too large ones.
        ImportError: if PyAV is not installed.
    """
    with opened(path) as (container, stream):
        first = next(_decoded(container, stream, Path(path)), None)
        if first is None:
            raise VideoError(f"{path} holds no frame that can be read (they may have {MEGA} megapixels)")
        flip = _orientation(first)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        fps = _rate(stream)
        duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 10**6
        frames = stream.frames or round(duration * fps)
        return VideoInfo(
            Path(path),
            (first.width, first.height) if flip[0] else (first.height, first.width),
            frames if frames > 0 else None, fps, float(duration) if duration > 0 else None,
            stream.codec_context.name, _time_base(stream), 1 / aspect if flip[0] else aspect,
            float(first.time or 0),
        )  # fmt: skip


def read_frames(path: str | Path, max_frames: int | None = None) -> Iterator[Frame]:
    """The frames of a video, upright and all of the first one's size, decoded as they are asked for.

    Packets that cannot be decoded are left out, as players do. A truncated file gives the frames that are there.

    Args:
        max_frames: stop after so many; None reads all.

    Raises:
        FileNotFoundError, VideoError, ImportError: as :func:`probe`.
        VideoError: if ``max_frames`` is below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise VideoError(f"max_frames must be at least 1, got {max_frames}")
    with opened(path) as (container, stream):
        clock, size = _Clock(stream), None
        for number, frame in enumerate(_decoded(container, stream, Path(path)), start=1):
            image = _upright(frame)
            size = size or image.shape[:2]
            if image.shape[:2] != size:  # a stream may change its size on the way
                image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
            yield Frame(image, *clock(frame))
            del frame, image
            if number == max_frames:
                return


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its first video stream, cover images left out, in a ``with`` block.

    Formats that name other files (playlists) and frames above the size limits are refused.

    Raises:
        FileNotFoundError, VideoError, ImportError: as :func:`probe`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no video {path}" + (" (it is a folder)" if path.is_dir() else ""))
    if not path.stat().st_size:
        raise VideoError(f"{path} is empty")
    av = load_av()
    limits = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:  # an absolute name is never taken for a protocol's
        container = av.open(str(path.absolute()), options=limits, metadata_errors="replace")
    except av.FFmpegError:
        raise VideoError(f"{path} is not a video that can be read (mp4, mov, mkv, webm, avi or gif)") from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise VideoError(f"{path} holds no video stream" + (", only sound" if container.streams.audio else ""))
        codec = streams[0].codec_context
        if codec is None:
            raise VideoError(f"{path} is coded in a way that cannot be read here")
        _check_size(path, codec.height, codec.width)
        codec.options = {"max_pixels": limits["max_pixels"]}
        codec.thread_type = "AUTO"
        yield container, streams[0]


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        raise VideoError(f"{path} has frames of {height}x{width}, too large (at most {MEGA} megapixels)")


def _decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """PyAV's frames; what is damaged is skipped."""
    error = load_av().FFmpegError
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except error:
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except error:
            continue
        for frame in frames:
            _check_size(path, frame.height, frame.width)
            yield frame


def _rate(stream: Any) -> Fraction:
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((Fraction(r) for r in rates if r and Fraction(1, MAX_GAP) <= r <= 1000), FALLBACK_RATE)


def _time_base(stream: Any) -> Fraction:
    base = stream.time_base
    return Fraction(base) if base and Fraction(1, 10**6) <= base <= 1 else Fraction(1, 90_000)


class _Clock:
    """Time stamps that start at 0 and grow, from a frame's own where they make sense."""

    def __init__(self, stream: Any) -> None:
        self.base = _time_base(stream)
        self.step = max(1, round(1 / (_rate(stream) * self.base)))
        self.limit = int(MAX_GAP / self.base)
        self.start: Fraction | None = None
        self.last = -self.step

    def __call__(self, frame: Any) -> tuple[int, int]:
        """Time stamp and duration in units of the time base."""
        pts = self.last + self.step
        if frame.pts is not None and frame.time_base:
            now = frame.pts * Fraction(frame.time_base)
            if self.start is None:
                self.start = now
            own = round((now - self.start) / self.base)
            if self.last < own <= self.last + self.limit:
                pts = own
            else:
                self.start = now - pts * self.base
        self.last = pts
        own = round(frame.duration * Fraction(frame.time_base) / self.base) if frame.duration and frame.time_base else 0
        return pts, own if 0 < own <= self.limit else self.step


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Whether a frame must be transposed, then turned left for right, then upside down, to stand upright."""
    data = next((bytes(d)[:36] for d in frame.side_data if d.type.name == "DISPLAYMATRIX"), b"")
    if len(data) < 36:
        return False, False, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(data, np.int32)[:5])
    across = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if across else (False, a < 0, d < 0)


def _upright(frame: Any) -> np.ndarray:
    """(H, W, 3) RGB uint8."""
    colours = "ITU709" if frame.colorspace == 2 and frame.height >= 720 else None  # not told: as players take it
    image = frame.to_ndarray(format="rgb24", src_colorspace=colours)
    across, mirror, overturn = _orientation(frame)
    if across:
        image = image.transpose(1, 0, 2)
    image = image[:: -1 if overturn else 1, :: -1 if mirror else 1]
    return np.ascontiguousarray(image)
