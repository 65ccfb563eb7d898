"""The networks that the app offers; each is loaded once, when it is first asked for, and shared by all visitors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from ..archs.tasks import task_spec
from ..data.labels import CAMVID, PERSON, Labels
from ..models import pretrained
from ..models.checkpoint import read_metadata
from ..models.names import parse_name
from ..models.preprocessing import model_input
from ..predict.bottomup import BottomUpPoseEstimator
from ..predict.segmentation import Segmenter
from ..predict.topdown import PoseEstimator

KEPT = 4  # networks in memory; the one that was not used for longest goes first

Predictor = Segmenter | PoseEstimator | BottomUpPoseEstimator
PREDICTORS: Mapping[str, type[Predictor]] = {
    predictor.spec.name: predictor for predictor in (Segmenter, PoseEstimator, BottomUpPoseEstimator)
}


def shipped() -> dict[str, list[str]]:
    """By task, the names of the networks whose weights are in this package; with the tag where a name has several."""
    entries = [e for e in pretrained.TABLE if e.is_file]
    several = {e.name for e in entries if sum(other.name == e.name for other in entries) > 1}
    return {
        task: [f"{e.name}.{e.tag}" if e.name in several else e.name for e in entries if e.task == task]
        for task in PREDICTORS
    }


class Networks:
    """Networks by task and name.

    Args:
        models: by task ("segmentation", "pose", "bottomup") what to offer: registered names, "hf-hub:…",
            "local-dir:…" or ``.safetensors`` files, which go by their stems. Default: all that ships in the package.

    Raises:
        ValueError: for another task, or two networks of one name.
        LookupError, FileNotFoundError: for a name or file that does not exist.
    """

    def __init__(self, models: Mapping[str, Sequence[str | Path]] | None = None) -> None:
        models = shipped() if models is None else models
        for task in models:
            task_spec(task)
        self._sources = {task: _sources(models.get(task, ())) for task in PREDICTORS}
        names = [name for sources in self._sources.values() for name in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two networks are called {name}")
        self._lock = Lock()
        self._build = lru_cache(KEPT)(_build)
        self._worker = ThreadPoolExecutor(1, "network")

    def names(self, task: str) -> list[str]:
        """What can be chosen for a task; the first is the default."""
        return list(self._sources[task])

    def titles(self, task: str) -> list[tuple[str, str]]:
        """What can be chosen for a task, as (what it does and its name, its name)."""
        return [
            (f"{title_of(task, labels_of_source(source))} · {name}", name)
            for name, source in self._sources[task].items()
        ]

    def first_of(self, task: str, labels: Labels | None) -> str | None:
        """The first network for a task whose outputs mean ``labels`` (None: anything), if there is one."""
        sources = self._sources[task].items()
        return next((name for name, source in sources if labels is None or labels_of_source(source) == labels), None)

    def task_of(self, name: str) -> str:
        """The task of one of the networks.

        Raises:
            LookupError: if there is no such network.
        """
        for task, sources in self._sources.items():
            if name in sources:
                return task
        raise LookupError(f"there is no network {str(name)[:60]!r} here")

    def predictor(self, task: str, name: str) -> Predictor:
        """The predictor of a network, loaded if it is not in memory.

        Raises:
            LookupError: if it is not among ``names(task)``.
        """
        sources = self._sources[task]
        if name not in sources:
            raise LookupError(
                f"there is no network {str(name)[:60]!r} here for {task}; choose from {', '.join(sources)}"
            )
        finder: str | Predictor = "bottomup"
        if task_spec(task).boxed and self._sources["bottomup"]:  # shared with its own tab
            finder = self.predictor("bottomup", self.names("bottomup")[0])
        with self._lock:  # so that visitors who come together load it once
            return self._build(task, sources[name], finder)

    def ask(self, predictor: Predictor, *args: Any) -> tuple[Any, float]:
        """What the predictor says, and the seconds it took; one visitor after the other, each with all cores.

        One thread does it for all: each thread that runs a network keeps working memory and a team of threads.
        """
        return self._worker.submit(_timed, predictor, args).result()


def _sources(models: Sequence[str | Path]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for source in map(str, models):
        parsed = parse_name(source)
        name = parsed.label if parsed.kind == "file" else str(parsed)
        if parsed.kind == "file" and not Path(source).is_file():
            raise FileNotFoundError(f"no weights file {source}")
        if name in sources:
            raise ValueError(f"two networks are called {name}: {sources[name]} and {source}")
        sources[name] = source
    return sources


def labels_of_source(source: str) -> Labels | None:
    """What a network's outputs mean, as far as it can be known without loading or downloading it."""
    parsed = parse_name(source)
    if parsed.kind == "registered":
        entry = pretrained.find_entry(parsed.place, parsed.tag)
        return entry.labels if entry else None
    return read_metadata(source).labels if parsed.kind == "file" else None


def title_of(task: str, labels: Labels | None) -> str:
    """What a network does, in plain words."""
    if task_spec(task).people:
        return "Joints, each person looked at" if task_spec(task).boxed else "Joints, everybody in one look"
    if labels == CAMVID:
        return "Streets"
    if labels == PERSON:
        return "People's outlines"
    return f"{len(labels.names)} classes of {labels.dataset}" if labels else "Classes"


def _build(task: str, source: str, finder: str | Predictor) -> Predictor:
    options: dict[str, Any] = {"detector": finder} if task_spec(task).boxed else {}
    return PREDICTORS[task](source, **options)


def info_of(predictor: Predictor) -> dict[str, Any]:
    """Plain JSON values: params, macs, and the input_size [h, w] that macs are counted at."""
    model = predictor.model
    size = model_input(model)[0]
    cost = model.cost(size)
    return {"params": cost.params, "macs": cost.macs, "input_size": list(size)}


def _timed(predictor: Predictor, args: tuple[Any, ...]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = predictor(*args)
    return result, time.perf_counter() - started
