"""Clips made on the fly from a photograph, and what is in a clip, read without this project's own reader."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .small_data import photographs


def moving(count: int, size: tuple[int, int] = (64, 80)) -> list[np.ndarray]:
    """A window that moves over china.jpg: ``count`` RGB (H, W, 3) images."""
    photo = photographs()[0]
    room = photo.shape[0] - size[0], photo.shape[1] - size[1]
    return [photo[i % room[0] :, 2 * i % room[1] :][: size[0], : size[1]] for i in range(count)]


def write_clip(
    path: Path, frames: Sequence[np.ndarray], times: Sequence[int] | None = None, codec: str = "libx264",
    rotation: int = 0, sound: bool = False, **options: str,
) -> Path:  # fmt: skip
    """The images as a video of 25 frames a second, or shown at ``times`` (milliseconds)."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = {"gif": "rgb8", "libx264rgb": "rgb24", "ffv1": "bgr0"}.get(codec, "yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec.startswith("libx264"):
            stream.options = {"crf": "5", "preset": "ultrafast"}
        if rotation:
            stream.set_display_rotation(rotation)
        tone = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = (40 * i if times is None else times[i]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
            if tone is not None:
                container.mux(tone.encode(beep(640, 640 * i)))
        for each in (stream, tone):
            if each is not None:
                container.mux(each.encode())
    return path


def only_sound(path: Path) -> Path:
    """An mp4 without images."""
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(10):
            container.mux(tone.encode(beep(640, 640 * i)))
        container.mux(tone.encode())
    return path


def beep(samples: int, start: int) -> av.AudioFrame:
    wave = (8000 * np.sin(np.arange(start, start + samples) / 8)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
    return frame


def frames_of(path: Path) -> list[av.VideoFrame]:
    """All frames as FFmpeg decodes them."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def images_of(path: Path) -> list[np.ndarray]:
    """RGB (H, W, 3) of all frames, as they lie in the file."""
    return [frame.to_ndarray(format="rgb24") for frame in frames_of(path)]


def times_of(path: Path) -> list[float]:
    """Seconds at which the frames are shown."""
    return [float(frame.pts * frame.time_base) for frame in frames_of(path)]


def boxes_of(path: Path) -> list[str]:
    """Kinds of the top-level boxes of an mp4."""
    data, kinds, place = path.read_bytes(), [], 0
    while place < len(data):
        kinds.append(data[place + 4 : place + 8].decode("latin1"))
        place += int.from_bytes(data[place : place + 4], "big")
    return kinds
