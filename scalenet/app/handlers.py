"""What happens when a visitor presses the button: the functions behind ``/segment``, ``/pose`` and ``/everyone``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..predict.results import PoseResult
from . import outputs
from .inputs import parse_boxes, polite, read_image
from .networks import Networks, Predictor, info_of
from .outputs import Pair


def warm(networks: Networks) -> None:
    """Run every task's first network once on a plain image, so that no visitor waits for the first time.

    Errors are left to the visitor's own request.
    """
    with tempfile.TemporaryDirectory(prefix="scalenet-demo-") as folder:
        handlers = Handlers(networks, folder)
        image = outputs.write_image(Path(folder), "plain", np.full((480, 640, 3), 127, np.uint8))
        asks = {
            "segmentation": lambda name: handlers.segment(image, name, 0.5, 0),
            "pose": lambda name: handlers.pose(image, name, "0, 0, 640, 480", 1, 0),  # it shows nobody to be found
            "bottomup": lambda name: handlers.everyone(image, name, 1, 0),
        }
        for task, ask in asks.items():
            for name in networks.names(task)[:1]:
                with suppress(Exception):
                    ask(name)


class Handlers:
    """The app's functions. Images are paths of uploads; opacity and thresholds are 0..1, shares are in percent.

    What they give to look at is a pair: the image before, and with what was found.

    Args:
        networks: what can be chosen.
        cache: gradio's temporary folder, where results go.
    """

    def __init__(self, networks: Networks, cache: str) -> None:
        self.networks, self.cache = networks, cache

    def segment(
        self, image: str | None, model: str, opacity: float, smallest: float
    ) -> tuple[Pair, str, str, str, str, str]:
        """Give every pixel its class: to look at, shares, facts; overlay PNG, mask PNG, JSON to take away."""
        with polite():
            rgb = read_image(image)
            network = self.networks.predictor("segmentation", model)
            result, seconds = self.networks.ask(network, rgb)
            at_least = smallest / 100
            facts = info_of(network)
            with outputs.result_folder(self.cache) as folder:
                stem = outputs.stem_of(image)
                drawn = result.draw(rgb, legend=False, strength=opacity, at_least=at_least)
                legend = result.draw(rgb, strength=opacity, at_least=at_least)
                return (
                    outputs.write_pair(folder, stem, rgb, drawn),
                    outputs.shares_html(result, at_least) + outputs.note_html(result),
                    outputs.facts_html(model, facts, seconds, outputs.size_text(rgb.shape)),
                    outputs.write_image(folder, f"{stem}_overlay", legend),
                    outputs.write_image(folder, f"{stem}_mask", result.mask),
                    outputs.write_result(folder, stem, _values(model, facts, seconds, result.to_dict())),
                )

    def pose(
        self, image: str | None, model: str, boxes: str, opacity: float, threshold: float
    ) -> tuple[Pair, str, str, str, str]:
        """Find the joints of the people in the boxes (lines "x, y, w, h"; empty: they are found, then looked at)."""
        return self._people("pose", image, model, opacity, threshold, lambda: (parse_boxes(boxes),))

    def everyone(
        self, image: str | None, model: str, opacity: float, threshold: float
    ) -> tuple[Pair, str, str, str, str]:
        """Find everybody's joints in one look: drawn, people, facts; image as PNG and JSON to take away."""
        return self._people("bottomup", image, model, opacity, threshold, tuple)

    def _people(
        self, task: str, path: str | None, model: str, opacity: float, threshold: float,
        arguments: Callable[[], tuple[Any, ...]],
    ) -> tuple[Pair, str, str, str, str]:  # fmt: skip
        with polite():
            image = read_image(path)
            given = arguments()
            network: Predictor = self.networks.predictor(task, model)
            result, seconds = self.networks.ask(network, image, *given)
            return self._people_files(path, image, model, info_of(network), seconds, result, opacity, threshold)

    def _people_files(
        self, path: str | None, image: np.ndarray, model: str, facts: dict[str, Any], seconds: float,
        result: PoseResult, opacity: float, threshold: float,
    ) -> tuple[Pair, str, str, str, str]:  # fmt: skip
        with outputs.result_folder(self.cache) as folder:
            stem = outputs.stem_of(path)
            drawn = result.draw(image, threshold, opacity, colour_by="person")
            values = {"size": list(image.shape[:2]), **result.to_dict()}
            return (
                outputs.write_pair(folder, stem, image, drawn),
                outputs.people_html(result, threshold),
                outputs.facts_html(model, facts, seconds, outputs.size_text(image.shape)),
                outputs.write_image(folder, f"{stem}_pose", drawn),
                outputs.write_result(folder, stem, _values(model, facts, seconds, values)),
            )


def _values(model: str, facts: dict[str, Any], seconds: float, result: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, **facts, "seconds": round(seconds, 4), **result}
