"""The tab for clips, and the function behind ``/video``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ..tasks import task_spec
from ..video.process import VideoError, VideoSummary, drawer, probe, process_video
from ..video.tracking import Tracker
from . import outputs
from .examples import write_clips
from .inputs import polite, uploads_only
from .networks import PREDICTORS, Networks, info_of
from .tabs import NO_WEIGHTS, download_row, model_choice, opacity_slider, result_view, threshold_slider

MAX_SECONDS, MAX_FRAMES = 60, 1800
MAX_PIXELS = MAX_FRAMES * 1920 * 1088  # of all frames together
MAX_WORK = 900  # seconds that a clip may take: others wait
NO_PYAV = "Videos need PyAV, which is not installed here: `pip install av`."

Report = Callable[[int, "int | None"], None]


def build_video_tab(networks: Networks, cache: str) -> None:
    """Lay the tab out inside the present ``gr.Tabs`` and connect it."""
    import gradio as gr

    names = [name for task in PREDICTORS for name in networks.names(task)]
    with gr.Tab("Video", id="video"):
        note = NO_PYAV if find_spec("av") is None else "" if names else NO_WEIGHTS
        gr.Markdown(
            note or f"Any of the networks on every frame of a clip of up to {MAX_SECONDS} seconds.", elem_classes="note"
        )
        if note:
            return
        with gr.Row(elem_classes="sides"):
            with gr.Column(scale=2, min_width=300):
                clip = gr.Video(label="Clip", sources=["upload", "webcam"], height=280, elem_classes="upload")
                uploads_only(clip, "clip")
                model = model_choice(names)
                with gr.Accordion("Settings", open=False):
                    settings = [opacity_slider(0.6), threshold_slider()]
                button = gr.Button("Process the clip", variant="primary", elem_classes="go")
                with tempfile.TemporaryDirectory() as folder:  # gradio copies them
                    clips = [[path] for path in write_clips(folder)]
                    if clips:
                        gr.Examples(clips, [clip], cache_examples=False, api_visibility="private")
            with gr.Column(scale=3, min_width=300):
                shown, legend, facts = result_view(gr.Video, buttons=["download"], show_label=False)
                files = download_row(("Video MP4", "JSON lines"))
        button.click(
            _function(networks, cache), [clip, model, *settings], [shown, legend, facts, *files], api_name="video",
            show_progress_on=shown, concurrency_limit=1, concurrency_id="videos",
        )  # fmt: skip


def _function(networks: Networks, cache: str) -> Callable[..., tuple[str, str, str, str, str]]:
    """The event's function; gradio wants its progress bar as a default value."""
    import gradio as gr

    def video(
        clip: str | None, model: str, opacity: float, threshold: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, str, str, str]:  # fmt: skip
        """Draw what a network finds on every frame: video, legend, facts; the MP4 and JSON lines to take away."""

        def report(done: int, total: int | None) -> None:
            progress((done, total), desc="Frames", unit="frames")

        return _process(networks, cache, clip, model, opacity, threshold, report)

    return video


def _process(
    networks: Networks, cache: str, clip: str | None, model: str, opacity: float, threshold: float, report: Report
) -> tuple[str, str, str, str, str]:
    with polite(clip, "the clip"):
        if not clip:
            raise VideoError("There is no clip yet: upload one, record one with the webcam, or choose the example.")
        check_clip(clip)
        task = networks.task_of(model)
        network = networks.predictor(task, model)
        with outputs.result_folder(cache) as folder:
            target = folder / f"{outputs.stem_of(clip)}_{model.rpartition('/')[2]}.mp4"
            lines = target.with_suffix(".jsonl")
            summary = process_video(
                clip, target, network, draw=drawer(opacity, threshold=threshold), json_path=lines,
                tracker=Tracker(threshold=threshold) if task_spec(task).people else None,
                progress=bounded(report, probe(clip).size),
                max_frames=MAX_FRAMES,
            )  # fmt: skip
            facts = outputs.facts_html(model, info_of(network), summary.seconds, _did(summary))
            return str(target), outputs.video_html(summary, network.labels), facts, str(target), str(lines)


def check_clip(path: str | Path) -> None:
    """Look at a clip before any work is done.

    Raises:
        VideoError: if it is empty, no video, too long or too large for an app that others use too.
    """
    info = probe(path)
    frames, seconds = info.frames or 0, info.duration or 0
    if seconds > MAX_SECONDS + 1 or frames > MAX_FRAMES:
        raise VideoError(
            f"the clip has {seconds:.0f} seconds and {frames} frames: "
            f"this app takes {MAX_SECONDS} seconds and {MAX_FRAMES} frames"
        )
    frames = frames or round(seconds * info.fps) or MAX_FRAMES
    if frames * info.size[0] * info.size[1] > MAX_PIXELS:
        raise VideoError(f"the clip is too large ({frames} frames of {info.size[0]}x{info.size[1]}): give less of it")


def bounded(report: Report, size: tuple[int, int]) -> Report:
    """``report`` for frames of (H, W) that stops a clip which holds more than it said, or takes too long."""
    began = time.monotonic()

    def check(done: int, total: int | None) -> None:
        if done * size[0] * size[1] > MAX_PIXELS:
            raise VideoError(f"the clip is too large (more than {done - 1} frames of {size[0]}x{size[1]})")
        if time.monotonic() - began > MAX_WORK:
            raise VideoError(f"the clip takes more than {MAX_WORK // 60} minutes ({done} frames by then): give less")
        report(done, total)

    return check


def _did(summary: VideoSummary) -> str:
    return f"{summary.frames} frames of {summary.size[0]}x{summary.size[1]} pixels"
