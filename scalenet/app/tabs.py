"""The three tabs for images: inputs and settings in a side column, the result large beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..predict.visualization import DRAWN_THRESHOLD
from .examples import example_images
from .handlers import Handlers
from .inputs import checked_component, number, one_of, text, uploads_only
from .networks import Networks

if TYPE_CHECKING:
    from gradio.components import Component

WORKERS = 2  # images that are worked on at a time, all tabs together
SHARED: dict[str, Any] = {"concurrency_limit": WORKERS, "concurrency_id": "images"}
NO_WEIGHTS = (
    "No weights for this task are at hand. `scalenet list` says where there are some; "
    "`build_demo(models={…})` takes files of your own."
)


@dataclass(frozen=True)
class ImageTab:
    """What one tab is: ``handler`` takes the image, the network, the fields and the (folded) settings in order."""

    title: str
    task: str
    text: str
    button: str
    api_name: str
    handler: Callable[..., tuple[str, ...]]
    settings: Callable[[], Sequence[Component]]
    downloads: Sequence[str]
    fields: Callable[[], Sequence[Component]] = tuple


def image_tabs(handlers: Handlers) -> tuple[ImageTab, ...]:
    """Segmentation, Pose, Everyone."""
    return (
        ImageTab(
            "Segmentation", "segmentation", "Every pixel gets one of the classes that the network learned.", "Segment",
            "segment", handlers.segment, lambda: (opacity_slider(0.6), _smallest()),
            ("Overlay PNG", "Mask PNG", "JSON"),
        ),
        ImageTab(
            "Pose", "pose", "People are found, then each is looked at by itself; or give their boxes.",
            "Find joints", "pose", handlers.pose,
            lambda: (opacity_slider(1.0), threshold_slider()), ("Overlay PNG", "JSON"), lambda: (_boxes(),),
        ),
        ImageTab(
            "Everyone", "bottomup", "The joints of everybody in the image in one look.", "Find everyone",
            "everyone", handlers.everyone, lambda: (opacity_slider(1.0), threshold_slider()), ("Overlay PNG", "JSON"),
        ),
    )  # fmt: skip


def build_tab(tab: ImageTab, networks: Networks) -> None:
    """Lay one tab out inside the present ``gr.Tabs`` and connect it."""
    import gradio as gr

    with gr.Tab(tab.title, id=tab.api_name):
        if not networks.names(tab.task):
            gr.Markdown(NO_WEIGHTS, elem_classes="note")
            return
        gr.Markdown(tab.text, elem_classes="note")
        with gr.Row(elem_classes="sides"):
            with gr.Column(scale=2, min_width=300):
                image = _image_input()
                model = model_choice(networks.names(tab.task))
                fields = list(tab.fields())
                with gr.Accordion("Settings", open=False):
                    settings = fields + list(tab.settings())
                button = gr.Button(tab.button, variant="primary", elem_classes="go")
                images = example_images(tab.task)
                if images:
                    gr.Examples([[p] for p in images], [image], cache_examples=False, api_visibility="private")
            with gr.Column(scale=3, min_width=300):
                shown, legend, facts = result_view(gr.Image, buttons=["download", "fullscreen"])
                files = download_row(tab.downloads)
        inputs, outputs = [image, model, *settings], [shown, legend, facts, *files]
        button.click(tab.handler, inputs, outputs, api_name=tab.api_name, show_progress_on=shown, **SHARED)
        _follow(tab, image, [model, *settings], outputs)


def _follow(tab: ImageTab, image: Any, others: list[Any], outputs: list[Component]) -> None:
    """Run at once when there is a new image or another setting; not an endpoint."""
    import gradio as gr

    def follow(*values: Any) -> tuple[Any, ...]:
        return tab.handler(*values) if values[0] else (None,) * len(outputs)

    changes = [getattr(c, "release", None) or getattr(c, "submit", None) or c.input for c in others]
    gr.on(
        [image.change, *changes], follow, [image, *others], outputs, api_visibility="private",
        trigger_mode="always_last", show_progress_on=outputs[0], **SHARED,
    )  # fmt: skip


def _image_input() -> Component:
    import gradio as gr

    image = gr.Image(
        type="filepath", label="Image", sources=["upload", "webcam", "clipboard"], height=280,
        elem_classes="upload",
    )  # fmt: skip
    return uploads_only(image, "image")


def model_choice(names: Sequence[str]) -> Component:
    """A choice of networks; the first is chosen."""
    import gradio as gr

    return checked_component(
        gr.Dropdown(list(names), value=names[0], label="Model", filterable=False), one_of("model", names)
    )


def result_view(kind: Callable[..., Component], **options: Any) -> tuple[Component, Component, Component]:
    """The result (``gr.Image`` or ``gr.Video`` with their ``options``), its legend, and the line of facts."""
    import gradio as gr

    shown = kind(label="Result", interactive=False, height=460, elem_classes="result", **options)
    return shown, gr.HTML(elem_classes="legend"), gr.HTML(elem_classes="facts")


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


def _boxes() -> Component:
    import gradio as gr

    box = gr.Textbox(
        value="", lines=2, max_lines=8, label="Boxes", placeholder="x, y, w, h",
        info="One person a line, in pixels. Empty: people are found.",
    )  # fmt: skip
    return checked_component(box, text("boxes"))
