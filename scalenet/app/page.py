"""What all tabs share: one upload, the line that says what is wrong, and how a tab's function meets the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from ..data.images import ImageError
from ..video.process import VideoError
from .inputs import uploads_only

if TYPE_CHECKING:
    from gradio import State
    from gradio.components import HTML, Button, Component, Image

WORKERS = 2  # images that are worked on at a time, all tabs together
SHARED: dict[str, Any] = {"concurrency_limit": WORKERS, "concurrency_id": "images"}
AT_ONCE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
OF_UPLOAD = (ImageError, VideoError)  # errors that are said beside the upload


@dataclass(frozen=True)
class Page:
    """The parts of the page that the tabs have in common.

    Args:
        image: the upload, a component that gives its path.
        problem: the line beside it.
        picture: the path of the image that is there, as the page remembers it; None: none.
        opened: the name of the tab that is open.
        hidden: a button that nobody sees, for what only programs call.
    """

    image: Image
    problem: HTML
    picture: State
    opened: State
    hidden: Button

    def opens(self, tab: Any, name: str) -> None:
        """Remember which tab is open."""
        tab.select(lambda: name, None, self.opened, **AT_ONCE)

    def connect(
        self, name: str, handler: Callable[..., tuple[Any, ...]], inputs: Sequence[Component],
        outputs: Sequence[Component], problem: Component, button: Any, changes: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """Run a tab's function when its button is pressed, and at once for a new image or another setting.

        Args:
            name: the tab's.
            handler: (path of the image, values of ``inputs``) to values of ``outputs``; raises ``gr.Error``.
            problem: the tab's own line for what is wrong with its settings.
            changes: events, after which it runs again.
        """
        import gradio as gr

        run = says_what_is_wrong(handler, len(outputs))
        done = gr.State(None)
        after = [self.problem, problem, *outputs, done]

        def press(*values: Any) -> tuple[Any, ...]:
            return *run(*values), values

        def follow(opened: str, last: tuple[Any, ...] | None, *values: Any) -> Any:
            if values[0] and opened == name and values != last:
                return press(*values)
            stale = last is not None and last[0] != values[0]
            return (gr.skip(), "", *[None] * len(outputs), None) if stale else (gr.skip(),) * len(after)

        given = [self.picture, *inputs]
        shown: dict[str, Any] = {"api_visibility": "private", "show_progress_on": outputs[0], **SHARED}
        button.click(press, given, after, **shown)
        gr.on(
            [self.picture.change, self.opened.change, *changes], follow, [self.opened, done, *given], after,
            trigger_mode="always_last", **shown,
        )  # fmt: skip

    def publish(
        self, name: str, handler: Callable[..., Any], inputs: Sequence[Component], outputs: Sequence[Component]
    ) -> None:
        """Make a function an endpoint for programs, its inputs named as the function's arguments."""
        self.hidden.click(handler, list(inputs), list(outputs), api_name=name, **SHARED)


def build_page() -> Page:
    """Lay out the upload and its line, and forget what belonged to the last image when there is another."""
    import gradio as gr

    image = gr.Image(
        type="filepath", label="Photograph", sources=["upload", "webcam", "clipboard"], height=300, buttons=[],
        elem_classes="upload",
    )  # fmt: skip
    page = Page(
        uploads_only(image, "image"), problem_line(), gr.State(None), gr.State("segment"),
        gr.Button(visible=False),
    )  # fmt: skip
    image.change(lambda path: (path, ""), image, [page.picture, page.problem], **AT_ONCE)
    return page


def problem_line() -> HTML:
    """A line for what is wrong, read out by screen readers when it changes; empty, it takes no room."""
    import gradio as gr

    return gr.HTML(elem_classes="problem")


def says_what_is_wrong(handler: Callable[..., tuple[Any, ...]], outputs: int) -> Callable[..., tuple[Any, ...]]:
    """For the page, ``handler`` with two lines before its values: what is wrong with the upload, and with the rest.

    Where something is wrong, its values are None, so that nothing stays of what was there before.
    """
    import gradio as gr

    @wraps(handler)
    def said(*values: Any, **more: Any) -> tuple[Any, ...]:
        try:
            return "", "", *handler(*values, **more)
        except gr.Error as error:
            line = f'<p role="alert">{error.message}</p>'  # escaped where it was raised
            of_upload = isinstance(error.__context__, OF_UPLOAD)
            return line if of_upload else "", "" if of_upload else line, *[None] * outputs

    return said
