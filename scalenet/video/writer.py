"""Videos out: H.264 in mp4, playable at every moment while it grows, an ordinary mp4 with sound at the end."""

from __future__ import annotations

import errno
import heapq
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..data.io import atomic_write
from .reader import VideoError, load_av, opened

GROWING = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
FINISHED = {"movflags": "faststart"}
QUALITY = {"preset": "superfast", "crf": "20", "bf": "0"}  # without B-frames packets come in the frames' order
SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")  # what mp4 holds as it is
BT709 = 1


class VideoWriter:
    """Encodes RGB frames to H.264 (yuv420p, which every browser plays) in a fragmented mp4.

    What is on disk can be played at every moment, up to the last second or two. H.264 needs even sides: of an odd one
    the last row or column is repeated.

    Args:
        path: of the file, ``.mp4``.
        size: (H, W) of the frames.
        fps: mean frame rate, a hint for the encoder; when a frame is shown, its time stamp says.
        time_base: seconds per unit of a time stamp.
        aspect: sample aspect ratio, width of a pixel by its height.

    Raises:
        VideoError: if the encoder refuses.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: Fraction,
        time_base: Fraction,
        aspect: Fraction = Fraction(1),
    ) -> None:
        self._av = load_av()
        self._to_yuv = self._av.video.reformatter.VideoReformatter().reformat
        self.path, self.size, self.time_base = Path(path), size, time_base
        self.padding = size[0] % 2, size[1] % 2
        self._durations: deque[int] = deque()
        self._bytes = 0
        try:
            self._container = self._av.open(str(self.path.absolute()), "w", format="mp4", options=GROWING)
            self._stream = self._container.add_stream("libx264", rate=fps.limit_denominator(1001))
            self._stream.height, self._stream.width = (n + p for n, p in zip(size, self.padding, strict=True))
            self._stream.pix_fmt, self._stream.options = "yuv420p", QUALITY
            codec = self._stream.codec_context
            codec.time_base, codec.gop_size = time_base, max(1, round(fps))
            codec.sample_aspect_ratio = aspect
            codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = BT709
        except self._av.FFmpegError as e:
            raise self._failed(e) from None

    def write(self, image: np.ndarray, pts: int, duration: int) -> None:
        """Add an RGB (H, W, 3) uint8 frame.

        Args:
            pts, duration: when and how long it is shown, in units of ``time_base``; ``pts`` must grow.

        Raises:
            VideoError: if its size is not the writer's, or it cannot be encoded or written.
        """
        if image.shape[:2] != self.size:
            raise VideoError(f"a frame of {image.shape[:2]} in a video of {self.size}: all must have one size")
        if any(self.padding):
            image = cv2.copyMakeBorder(image, 0, self.padding[0], 0, self.padding[1], cv2.BORDER_REPLICATE)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = self._to_yuv(frame, format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
        frame.pts, frame.time_base = pts, self.time_base
        self._durations.append(duration)
        self._mux(frame)

    def close(self) -> None:
        """Write what the encoder still holds.

        Raises:
            OSError, VideoError: if not all of it could be written.
        """
        self._mux(None)
        self._container.close()
        _check_whole(self.path, self._bytes)

    def let_go(self) -> None:
        """Close the file, whole or not: a disk that is full gets its room back only then. Does nothing when closed."""
        with suppress(self._av.FFmpegError):
            self._container.close()

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                packet.duration = self._durations.popleft()
                self._bytes += packet.size
                self._container.mux(packet)
        except self._av.FFmpegError as e:
            raise self._failed(e) from None

    def _failed(self, error: Exception) -> VideoError:
        reason = getattr(error, "strerror", None) or str(error)
        return VideoError(f"{self.path.parent} takes no video of {self.size[0]}x{self.size[1]} ({reason[:80]})")


def finish(path: Path, source: Path, start: float, end: float) -> bool:
    """Remux a fragmented mp4 to an ordinary one, its index in front, with the sound of ``source`` if mp4 can hold it.

    Nothing is encoded again. Where that fails (a full disk, sound that cannot be copied) it is tried without sound, and
    at last the fragmented file stays as it is: it plays too.

    Args:
        path: the fragmented file, which is replaced.
        source: the video whose first sound track is copied.
        start, end: seconds of the source, by its own clock, that the video shows.

    Returns:
        Whether the sound was copied.
    """
    errors = (load_av().FFmpegError, OSError, ValueError)
    for sound in (source, None):
        try:
            with atomic_write(path) as target:
                return _remux(path, target, sound, start, end)
        except errors:
            continue
    return False


def _check_whole(path: Path, least: int) -> None:
    """FFmpeg says nothing when the last of a file, which it writes on closing, finds no room.

    Raises:
        OSError: if an mp4 ends within one of its boxes, or has fewer than ``least`` bytes.
    """
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            at += int.from_bytes(head[8:16], "big") if length == 1 else length or size
    if at != size or size < least:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _remux(path: Path, target: Path, sound: Path | None, start: float, end: float) -> bool:
    av, written = load_av(), 0
    with ExitStack() as stack:
        video = stack.enter_context(av.open(str(path.absolute())))
        container = stack.enter_context(av.open(str(target.absolute()), "w", format="mp4", options=FINISHED))
        parts = [_packets(video, video.streams.video[0], container, 0.0, float("inf"))]
        if sound is not None:
            source, _ = stack.enter_context(opened(sound))
            streams = [s for s in source.streams.audio if s.codec_context and s.codec_context.name in SOUND]
            parts += [_packets(source, s, container, start, end) for s in streams[:1]]
        for packet in heapq.merge(*parts, key=lambda p: p.dts * p.time_base):
            written += packet.size
            container.mux(packet)
    _check_whole(target, written)
    return len(parts) > 1


def _packets(source: Any, stream: Any, target: Any, start: float, end: float) -> Iterator[Any]:
    """Packets of ``stream`` for a copy of it in ``target``, moved to begin at ``start``."""
    copy = target.add_stream_from_template(stream)

    def moved() -> Iterator[Any]:
        shift, last = round(start / stream.time_base), None
        for packet in source.demux(stream):
            if (
                packet.dts is None
                or packet.pts is None
                or packet.pts < shift
                or (last is not None and packet.dts <= last)
            ):
                continue
            if packet.pts * stream.time_base >= end:
                return
            last = packet.dts
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            yield packet

    return moved()
