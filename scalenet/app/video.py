"""The tab for clips, and the function behind ``/video``."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..archs.tasks import task_spec
from ..video.process import VideoError, VideoSummary, drawer, probe, process_video
from ..video.tracking import tracker_for
from . import outputs
from .inputs import polite, uploads_only
from .networks import PREDICTORS, Networks, info_of
from .page import AT_ONCE, Page, problem_line, says_what_is_wrong
from .tabs import NO_WEIGHTS, download_row, model_choice, opacity_slider, threshold_slider

if TYPE_CHECKING:
    from gradio.components import Component, Video

MAX_SECONDS, MAX_FRAMES = 60, 1800
MAX_PIXELS = MAX_FRAMES * 1920 * 1088  # of all frames together
MAX_WORK = 900  # seconds that a clip may take: others wait
NO_PYAV = "Videos need PyAV, which is not installed here: `pip install av`."

Report = Callable[[int, "int | None"], None]


def build_clip() -> tuple[Video, Component]:
    """Lay out the upload of a clip and the line for what is wrong with it."""
    import gradio as gr

    clip = gr.Video(label="Clip", sources=["upload", "webcam"], height=300, buttons=[], elem_classes="upload")
    return uploads_only(clip, "clip"), problem_line()


def build_video_tab(networks: Networks, cache: str, page: Page, clip: Video, upload_problem: Component) -> Any:
    """Lay the tab out inside the present ``gr.Tabs`` and connect it; returns its choice of networks, if it has one."""
    import gradio as gr

    titles = [title for task in PREDICTORS for title in networks.titles(task)]
    with gr.Tab("Video", id="video") as there:
        page.opens(there, "video")
        note = NO_PYAV if find_spec("av") is None else "" if titles else NO_WEIGHTS
        gr.Markdown(
            note or f"Any of the networks on every frame of a clip of up to {MAX_SECONDS} seconds.", elem_classes="note"
        )
        if note:
            return None
        with gr.Row(elem_classes="ask"):
            model = model_choice(titles)
            button = gr.Button("Process the clip", variant="primary", elem_classes="go")
        with gr.Accordion("Settings", open=False):
            settings = [opacity_slider(0.6), threshold_slider()]
        problem = problem_line()
        with gr.Row(elem_classes="beside"):
            shown = gr.Video(
                label="Result", interactive=False, height=420, buttons=["download"], show_label=False, scale=3,
                min_width=260, elem_classes="result",
            )  # fmt: skip
            with gr.Column(scale=1, min_width=200):
                legend = gr.HTML(elem_classes="legend")
        results = [shown, legend, gr.HTML(elem_classes="facts"), *download_row(("Video MP4", "JSON lines"))]
    function, inputs = _function(networks, cache), [clip, model, *settings]
    waits: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "videos"}
    page.hidden.click(function, inputs, results, api_name="video", **waits)
    button.click(
        says_what_is_wrong(function, len(results)), inputs, [upload_problem, problem, *results],
        api_visibility="private", show_progress_on=shown, **waits,
    )  # fmt: skip
    clip.change(lambda: ("", "", *[None] * len(results)), None, [upload_problem, problem, *results], **AT_ONCE)
    return model


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
            raise VideoError("There is no clip yet: upload one, record one with the webcam, or choose an example.")
        check_clip(clip)
        task = networks.task_of(model)
        network = copy(networks.predictor(task, model))  # the tracker asks more of it than other visitors do
        with outputs.result_folder(cache) as folder:
            target = folder / f"{outputs.stem_of(clip)}_{model.rpartition('/')[2]}.mp4"
            lines = target.with_suffix(".jsonl")
            summary = process_video(
                clip, target, network, draw=drawer(opacity, legend=False, threshold=threshold), json_path=lines,
                tracker=tracker_for(network, threshold) if task_spec(task).people else None,
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
        raise VideoError(f"the clip is too large ({frames} frames of {outputs.size_text(info.size)}): give less of it")


def bounded(report: Report, size: tuple[int, int]) -> Report:
    """``report`` for frames of (H, W) that stops a clip which holds more than it said, or takes too long."""
    began = time.monotonic()

    def check(done: int, total: int | None) -> None:
        if done * size[0] * size[1] > MAX_PIXELS:
            raise VideoError(f"the clip is too large (more than {done - 1} frames of {outputs.size_text(size)})")
        if time.monotonic() - began > MAX_WORK:
            raise VideoError(f"the clip takes more than {MAX_WORK // 60} minutes ({done} frames by then): give less")
        report(done, total)

    return check


def _did(summary: VideoSummary) -> str:
    return f"{summary.frames} frames of {outputs.size_text(summary.size)}"
