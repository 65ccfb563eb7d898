"""What a video costs beyond the bare network: 480x640 frames with scalenet_s0 on 2 threads, 4 frames at a time.

Decoding, drawing, encoding, JSON lines and the mask at full size are the pipeline's; bare is the network alone on the
same frames, reduced as the segmenter reduces them: called on the segmenter's batches as they are, and dealt out to the
cores as the pipeline does it. All are measured in turn, so that a busy machine slows all. Other networks, batches,
devices: ``python -m benchmarks.video NAME BATCH DEVICE``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Measurement, show
from scalenet.commands.clip import BATCH

SIZE, FRAMES, ROUNDS = (480, 640), 60, 3


def clip(path: Path, frames: int = FRAMES) -> Path:
    """A window that moves over scikit-learn's china.jpg, enlarged, as a video of 25 frames a second."""
    from PIL import Image

    from scalenet.data.samples import sample_photograph
    from scalenet.video.writer import VideoWriter

    photo = np.asarray(Image.open(sample_photograph()).convert("RGB").resize((960, 640)))
    writer = VideoWriter(path, SIZE, Fraction(25), Fraction(1, 25))
    for i in range(frames):
        y, x = 4 * i % (photo.shape[0] - SIZE[0]), 7 * i % (photo.shape[1] - SIZE[1])
        writer.write(photo[y : y + SIZE[0], x : x + SIZE[1]], i, 1)
    writer.close()
    return path


def bare_seconds(segmenter: Any, images: list[np.ndarray], dealt: bool = False) -> float:
    """Seconds of the network alone for all images, in the segmenter's batches; or these dealt out to the cores."""
    import torch

    from scalenet.data.images import as_tensor
    from scalenet.engines.eager import TorchEngine
    from scalenet.nn.fuse import Folded

    engine = segmenter.engine
    if not dealt:
        segmenter.engine = TorchEngine(Folded(segmenter.model, statistics=segmenter.statistics), engine.dtype).forward
    batches = [
        as_tensor(np.stack(images[i : i + segmenter.batch_size]), segmenter.device)
        for i in range(0, len(images), segmenter.batch_size)
    ]
    started = time.perf_counter()
    with torch.inference_mode():
        for x in batches:
            segmenter._forward(x)
        if segmenter.device.type == "cuda":
            torch.cuda.synchronize()
    segmenter.engine = engine
    return time.perf_counter() - started


def measure(argv: list[str]) -> list[Measurement]:
    """The bare network and the whole pipeline in turn; the figure is the median of the rounds' ratios."""
    import torch

    from scalenet import Segmenter
    from scalenet.video.process import process_video
    from scalenet.video.reader import read_frames

    name, batch, device = [*argv, *("scalenet_s0", str(BATCH), "cpu")[len(argv) :]]
    torch.set_num_threads(2)
    segmenter = Segmenter(name, device, int(batch))
    bare, dealt, whole = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source, target = clip(Path(folder) / "clip.mp4"), Path(folder) / "out.mp4"
        images = [segmenter._fit(frame.image)[0] for frame in read_frames(source)]
        bare_seconds(segmenter, images[: segmenter.batch_size])
        for _ in range(ROUNDS):
            bare.append(bare_seconds(segmenter, images))
            dealt.append(bare_seconds(segmenter, images, dealt=True))
            whole.append(process_video(source, target, segmenter, json_path=Path(folder) / "out.jsonl").seconds)
    per_frame = {
        name: 1000 * statistics.median(times) / FRAMES
        for name, times in (("bare", bare), ("dealt", dealt), ("whole", whole))
    }

    def overhead(network: list[float]) -> float:
        return statistics.median(w / n - 1 for w, n in zip(whole, network, strict=True))

    return [
        Measurement("video: bare network, a 480x640 frame", per_frame["bare"], "ms"),
        Measurement("video: bare network, batches dealt out to the cores", per_frame["dealt"], "ms"),
        Measurement("video: decoded, segmented, drawn, encoded, a frame", per_frame["whole"], "ms"),
        Measurement("video: overhead over the bare network", overhead(bare), "", at_most=0.25),
        Measurement("video: overhead over the network dealt out", overhead(dealt), ""),
    ]


if __name__ == "__main__":
    show(measure)
