"""The Any-budget tab: a limit on a slider, what the network within it sees, and what the largest sees beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..engines.front import Front, Member
from ..models import pretrained
from ..models.names import parse_name
from . import outputs
from .inputs import polite, read_image
from .networks import KEPT, PREDICTORS, Networks, Predictor, title_of
from .page import Page, problem_line

UNITS = ("GMACs", "milliseconds")
SLOWEST = 500  # milliseconds at the slider's end
TEXT = "Every network of a family lies in one file: give a limit, see what the best one within it makes of the image."


def shipped_fronts() -> list[str]:
    """The names whose fronts are in this package."""
    return [pretrained.shown_name(e) for e in pretrained.TABLE if e.front.is_file()]


class BudgetHandlers:
    """The tab's functions.

    Args:
        networks: whose worker runs what visitors ask for.
        fronts: names or files of fronts, files called by their stems.
        cache: gradio's temporary folder, where results go.

    Raises:
        LookupError, OSError, WeightsError: for a front that cannot be read.
    """

    def __init__(self, networks: Networks, fronts: Sequence[str | Path], cache: str) -> None:
        self.networks, self.cache = networks, cache
        self.fronts: Mapping[str, Front] = {parse_name(source).label: Front(source) for source in fronts}
        self._predictor = lru_cache(KEPT)(self._build)

    def _build(self, name: str, member: str) -> Predictor:
        front = self.fronts[name]
        return PREDICTORS[front.spec.name](front.extract(member))

    def span(self, name: str, unit: str) -> tuple[float, float]:
        """The slider's ends for a front, the lower one kept by the smallest member (in time: 1)."""
        if unit != UNITS[0]:
            return 1.0, float(SLOWEST)
        members = self.fronts[name].members
        return round(members[0].macs / 1e9 + 0.005, 2), round(members[-1].macs / 1e9 + 0.005, 2)

    def look(
        self, image: str | None, family: str = "", unit: str = UNITS[0], limit: float = 0
    ) -> tuple[str, str, str, str]:
        """What the best member within a limit sees, what the largest sees, facts of both, and their place on the plot.

        Args:
            family: one of the fronts; default the first.
            unit: of ``limit``, "GMACs" or "milliseconds"; a limit of 0 is none.
        """
        with polite():
            pixels = read_image(image)
            name = family or next(iter(self.fronts))
            if name not in self.fronts or unit not in UNITS:
                known = (*self.fronts, *UNITS)
                raise LookupError(
                    f"there is no {str(name)[:60]!r} in {str(unit)[:60]!r} here; there are {', '.join(known)}"
                )
            front = self.fronts[name]
            macs, ms = (limit * 1e9, None) if unit == UNITS[0] else (None, limit)
            member = front.pick(max_macs=macs, max_latency_ms=ms) if limit else front.best
            with outputs.result_folder(self.cache) as folder:
                looks = [
                    self._look(name, m, pixels, folder, what) for m, what in ((member, "picked"), (front.best, "best"))
                ]
            (picked, first), (best, second) = looks
            return picked, best, first + second, front.svg(member)

    def _look(self, name: str, member: Member, pixels: Any, folder: Path, what: str) -> tuple[str, str]:
        predictor = self._predictor(name, member.name)
        result, seconds = self.networks.ask(predictor, pixels)
        facts = {"params": member.params, "macs": member.macs, "input_size": member.arch.input_size}
        score = "" if member.score is None else f", {html.escape(self.fronts[name].metric)} {member.score:.3f}"
        line = outputs.facts_html(member.name, facts, seconds, f"this image{score}")
        return outputs.write_shown(folder, what, result.draw(pixels)), line


def build_budget_tab(handlers: BudgetHandlers, page: Page) -> None:
    """Lay the tab out inside the present ``gr.Tabs`` and connect it."""
    import gradio as gr

    names = list(handlers.fronts)
    low, high = handlers.span(names[0], UNITS[0])
    with gr.Tab("Any budget", id="budget") as there:
        page.opens(there, "budget")
        gr.Markdown(TEXT, elem_classes="note")
        with gr.Row(elem_classes="ask"):
            titles = [
                (f"{title_of(f.spec.name, f.metadata.labels)} · {name}", name) for name, f in handlers.fronts.items()
            ]
            family = gr.Dropdown(titles, value=names[0], label="Family", filterable=False)
            unit = gr.Radio(list(UNITS), value=UNITS[0], label="Limit in")
            limit = gr.Slider(low, high, low, step=0.01, label="Limit")
            button = gr.Button("Look", variant="primary", elem_classes="go")
        problem = problem_line()
        with gr.Row():
            shown = [
                gr.Image(label=label, interactive=False, height=300, buttons=["fullscreen"], elem_classes="result")
                for label in ("Picked", "The best of all")
            ]
        results = [*shown, gr.HTML(elem_classes="facts"), gr.HTML()]
        fields = [family, unit, limit]
        page.connect("budget", handlers.look, fields, results, problem, button, [limit.release])
        page.publish("budget", handlers.look, [page.image, *fields], results)

    def fitted(name: str, chosen: str) -> Any:
        start, end = handlers.span(name, chosen)
        return gr.Slider(start, end, start if chosen == UNITS[0] else end, step=0.01)

    gr.on([family.input, unit.input], fitted, [family, unit], limit, api_visibility="private")
