"""The whole page: what visitors give on one side, the tabs with what they get on the other."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..archs.tasks import SEGMENTATION
from .budget import BudgetHandlers, build_budget_tab
from .examples import EXAMPLES, Example, build_examples, keep_file, write_panning_clip
from .handlers import Handlers
from .networks import Networks
from .page import AT_ONCE, Page, build_page
from .tabs import build_tab, image_tabs
from .video import build_clip, build_video_tab

if TYPE_CHECKING:
    from gradio.components import Component

CLIPS = tuple(example for example in EXAMPLES if example.task == SEGMENTATION.name)


def build_layout(networks: Networks, fronts: Sequence[str | Path], cache: str) -> None:
    """Lay everything out inside the present ``gr.Blocks``.

    Args:
        networks: what is offered.
        fronts: names or files of fronts; with none, there is no tab for them.
        cache: gradio's temporary folder, where results go.
    """
    import gradio as gr

    photographs, clips = _offered(networks, EXAMPLES), _offered(networks, CLIPS)
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=2, min_width=300):
            with gr.Column() as for_images:
                page = build_page()
                tries = build_examples(photographs, "Example photographs")
            with gr.Column(visible=False) as for_clips:
                clip, problem = build_clip()
                clip_tries = build_examples(clips, "Example clips")
        with gr.Column(scale=3, min_width=300), gr.Tabs(overflow_behavior="wrap"):
            choices = {
                tab.task: (tab.api_name, build_tab(tab, networks, page))
                for tab in image_tabs(Handlers(networks, cache))
            }
            clip_choice = build_video_tab(networks, cache, page, clip, problem)
            if fronts:
                build_budget_tab(BudgetHandlers(networks, fronts, cache), page)
    page.opened.change(
        lambda name: (gr.Column(visible=name != "video"), gr.Column(visible=name == "video")), page.opened,
        [for_images, for_clips], **AT_ONCE,
    )  # fmt: skip
    if tries:
        _try_photographs(tries, photographs, networks, page, choices)
    if clip_tries and clip_choice:
        _try_clips(clip_tries, clips, networks, clip, clip_choice)


def _offered(networks: Networks, examples: Sequence[Example]) -> list[Example]:
    """The examples that can be tried here: the photograph is installed, a network for it is on offer."""
    return [e for e in examples if e.path and networks.first_of(e.task, e.labels)]


def _try_photographs(
    tries: Component, examples: Sequence[Example], networks: Networks, page: Page,
    choices: Mapping[str, tuple[str, Component | None]],
) -> None:  # fmt: skip
    """An example brings its photograph, opens the tab and chooses the network that it is for."""
    import gradio as gr

    files = [keep_file(page.image, example.path) for example in examples if example.path]
    models = {task: model for task, (_, model) in choices.items() if model}

    def choose(place: int) -> tuple[Any, ...]:
        example = examples[int(place)]
        name = choices[example.task][0]
        chosen = networks.first_of(example.task, example.labels)
        others = (chosen if task == example.task else gr.skip() for task in models)
        return files[int(place)], name, *others

    opened = json.dumps([f"{choices[example.task][0]}-button" for example in examples])
    click = f"(place) => {{ document.getElementById({opened}[place]).click(); return place; }}"
    tries.select(choose, tries, [page.image, page.opened, *models.values()], js=click, **AT_ONCE)  # type: ignore[attr-defined]


def _try_clips(
    tries: Component, examples: Sequence[Example], networks: Networks, clip: Component, model: Component
) -> None:
    """An example brings its clip, and chooses the network that it is for."""
    with tempfile.TemporaryDirectory() as folder:
        files = [keep_file(clip, write_panning_clip(example.path, folder)) for example in examples if example.path]

    def choose(place: int) -> tuple[Any, ...]:
        example = examples[int(place)]
        return files[int(place)], networks.first_of(example.task, example.labels)

    tries.select(choose, tries, [clip, model], **AT_ONCE)  # type: ignore[attr-defined]
