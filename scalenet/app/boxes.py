"""Boxes around people: drawn over the picture with the mouse, or written; the text is what counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import checked_component, text
from .page import AT_ONCE, Page, problem_line

if TYPE_CHECKING:
    from gradio.components import Component

HTML = """<p class="none">Draw a box around each person.</p>
<div class="draw" hidden><img alt="The photograph, to draw boxes on"><svg aria-hidden="true"></svg></div>"""
ANEW = "(image) => [{ image: image?.url ?? null, boxes: '' }, '']"
WRITTEN = "(boxes, value) => ({ ...value, boxes })"
DRAWN = "(value) => value?.boxes ?? ''"


@dataclass(frozen=True)
class BoxFields:
    """The field of lines "x, y, w, h", its line for what is wrong, and the event after which boxes are complete."""

    text: Component
    problem: Component
    change: Any


def build_boxes(page: Page) -> BoxFields:
    """Lay the fields out inside the present tab; what is drawn is written, and what is written is drawn."""
    import gradio as gr

    with gr.Accordion("Boxes", open=False, elem_classes="boxes"):
        drawing = gr.HTML(
            html_template=HTML, js_on_load=(Path(__file__).parent / "boxes.js").read_text(), elem_classes="drawing"
        )
        written = gr.Textbox(
            value="", lines=2, max_lines=8, label="Boxes", placeholder="x, y, w, h",
            info="One person a line, in pixels; Shift+Enter starts to look. Empty: people are found.",
        )  # fmt: skip
        clear = gr.Button("Remove all boxes", size="sm")
    private: dict[str, Any] = {"fn": None, "api_visibility": "private"}
    page.image.change(inputs=page.image, outputs=[drawing, written], js=ANEW, **private)
    written.change(inputs=[written, drawing], outputs=drawing, js=WRITTEN, **private)
    drawn = drawing.input(inputs=drawing, outputs=written, js=DRAWN, **private)
    cleared = clear.click(outputs=written, js="() => ''", **private)
    checked_component(written, text("boxes"))
    complete = gr.State(None)
    for then in (written.submit, drawn.then, cleared.then):
        then(lambda *values: values, [page.picture, written], complete, **AT_ONCE)
    return BoxFields(written, problem_line(), complete.change)
