"""The three tabs for images: settings above, the result large below, with a slider between before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..predict.visualization import DRAWN_THRESHOLD
from .boxes import BoxFields, build_boxes
from .handlers import Handlers
from .inputs import checked_component, number, one_of
from .networks import Networks
from .page import Page, problem_line

if TYPE_CHECKING:
    from gradio.components import Component

NO_WEIGHTS = (
    "No weights for this task are at hand. `scalenet list` says where there are some; "
    "`build_demo(models={…})` takes files of your own."
)


@dataclass(frozen=True)
class ImageTab:
    """What one tab is: ``handler`` takes the image, the network, the boxes if there are some, and the settings."""

    title: str
    task: str
    text: str
    button: str
    api_name: str
    handler: Callable[..., tuple[Any, ...]]
    settings: Callable[[], Sequence[Component]]
    downloads: Sequence[str]
    boxes: bool = False


def image_tabs(handlers: Handlers) -> tuple[ImageTab, ...]:
    """Segmentation, Pose, Everyone."""
    return (
        ImageTab(
            "Segmentation", "segmentation", "Every pixel gets one of the classes that the network learned.", "Segment",
            "segment", handlers.segment, lambda: (opacity_slider(0.6), _smallest()),
            ("Overlay PNG", "Mask PNG", "JSON"),
        ),
        ImageTab(
            "Pose", "pose", "People are found, then each is looked at by itself; or draw boxes around them.",
            "Find joints", "pose", handlers.pose,
            lambda: (opacity_slider(1.0), threshold_slider()), ("Overlay PNG", "JSON"), boxes=True,
        ),
        ImageTab(
            "Everyone", "bottomup", "The joints of everybody in the image in one look.", "Find everyone",
            "everyone", handlers.everyone, lambda: (opacity_slider(1.0), threshold_slider()), ("Overlay PNG", "JSON"),
        ),
    )  # fmt: skip


def build_tab(tab: ImageTab, networks: Networks, page: Page) -> Component | None:
    """Lay one tab out inside the present ``gr.Tabs`` and connect it; returns its choice of networks, if it has one."""
    import gradio as gr

    with gr.Tab(tab.title, id=tab.api_name, elem_id=tab.api_name) as there:
        page.opens(there, tab.api_name)
        if not networks.names(tab.task):
            gr.Markdown(NO_WEIGHTS, elem_classes="note")
            return None
        gr.Markdown(tab.text, elem_classes="note")
        with gr.Row(elem_classes="ask"):
            model = model_choice(networks.titles(tab.task))
            button = gr.Button(tab.button, variant="primary", elem_classes="go")
        boxes = build_boxes(page) if tab.boxes else None
        with gr.Accordion("Settings", open=False):
            settings = list(tab.settings())
        problem = boxes.problem if boxes else problem_line()
        shown = gr.ImageSlider(
            label="Before and after", interactive=False, type="filepath", max_height=560, elem_classes="result",
            buttons=["fullscreen"],
        )  # fmt: skip
        drawn = gr.Image(visible=False)  # what programs get instead of the pair
        results = [shown, gr.HTML(elem_classes="legend"), gr.HTML(elem_classes="facts"), *download_row(tab.downloads)]
        fields = [model, *([boxes.text] if boxes else []), *settings]
        page.connect(tab.api_name, tab.handler, fields, results, problem, button, _changes(model, boxes, settings))
        page.publish(tab.api_name, _last_of_pair(tab.handler), [page.image, *fields], [drawn, *results[1:]])
    return model


def _changes(model: Any, boxes: BoxFields | None, settings: Sequence[Any]) -> list[Any]:
    """The events after which a tab looks again: not while somebody still writes or moves a slider."""
    return [model.input, *([boxes.change] if boxes else ()), *(setting.release for setting in settings)]


def _last_of_pair(handler: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """For programs: the first value is the drawn image alone, not the pair of before and after."""

    @wraps(handler)
    def drawn(*values: Any) -> tuple[Any, ...]:
        pair, *others = handler(*values)
        Path(pair[0]).unlink(missing_ok=True)  # gradio removes what it hands out, and this it does not
        return pair[1], *others

    return drawn


def model_choice(titles: Sequence[tuple[str, str]]) -> Component:
    """A choice of networks, as (title, name); the first is chosen."""
    import gradio as gr

    names = [name for _, name in titles]
    return checked_component(
        gr.Dropdown(list(titles), value=names[0], label="Network", filterable=False), one_of("model", names)
    )


def download_row(labels: Sequence[str]) -> list[Component]:
    """One button for each file."""
    import gradio as gr

    with gr.Row(elem_classes="downloads"):
        return [gr.DownloadButton(label, size="sm", min_width=90) for label in labels]


def opacity_slider(value: float) -> Component:
    """The overlay's opacity, 0..1."""
    import gradio as gr

    return checked_component(gr.Slider(0, 1, value, step=0.05, label="Overlay opacity"), number("opacity", 0, 1))


def _smallest() -> Component:
    import gradio as gr

    slider = gr.Slider(0, 20, 0.1, step=0.1, label="Smallest class shown", info="In percent of the image.")
    return checked_component(slider, number("smallest", 0, 20))


def threshold_slider() -> Component:
    """The least score of a joint that is drawn, 0..1."""
    import gradio as gr

    slider = gr.Slider(
        0, 1, DRAWN_THRESHOLD, step=0.05, label="Joint threshold", info="Less certain joints are not drawn."
    )
    return checked_component(slider, number("threshold", 0, 1))
