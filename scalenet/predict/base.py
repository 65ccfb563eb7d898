"""The base of all predictors: loading, folding and placing the network; batching images; results in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import torch
from tqdm import tqdm

from ..archs.budget import Budget, BudgetError
from ..archs.tasks import TaskSpec, WrongTask
from ..data.images import ImageLike, as_list, load_image
from ..data.sources import is_url
from ..engines.base import engine_device
from ..engines.calibration import CalibrationImages, calibration_inputs
from ..engines.choose import start_engine
from ..models.factory import load_model, network_within
from ..models.preprocessing import model_input
from ..nn.fuse import Folded, fold
from ..nn.network import ScaleNet
from ..runtime.device import Device
from ..runtime.pipeline import neighbours, prefetch

NO_BUDGET = Budget()
Item = TypeVar("Item")
Output = TypeVar("Output")
Found = TypeVar("Found")


class OutputError(ValueError):
    """NaN or infinite outputs: an overflow in half precision, or corrupt weights."""


class Predictor:
    """Base of the predictors: a network in evaluation mode, ready to run on images.

    The network is copied and its BatchNorm layers are folded into the convolutions, so later changes to the original
    (weights, device, active sub-network) do not affect the predictor.

    Args:
        name_or_model: a network, its registered name, "hf-hub:…", "local-dir:…" or a ``.safetensors`` file.
        device: default: the first available of cuda, mps and cpu.
        batch_size: images or crops per forward pass.
        engine: the inference engine: "torch", "compile" (torch.compile), "onnxruntime", "openvino" (both CPU only), or
            "auto", the fastest on this machine, see :func:`scalenet.engines.choose.start_engine`.
        dtype: the compute dtype: "float32", "bfloat16", or "auto", the faster one; default that of the weights, and for
            the engine "auto" the faster one. "int8" (onnxruntime and openvino): faster on CPUs with 8-bit instructions,
            and less accurate.
        calibration: typical images, or a folder of them, to calibrate "int8"; needed once, since the quantised network
            is cached.
        budget: use the best member of the name's front (:class:`scalenet.Front`) within these limits: ``max_macs``, for
            example "1.5G"; ``max_latency_ms``, for example "20ms", of the network alone for one image on ``device`` in
            this engine and dtype.

    Attributes:
        model: the folded copy, on ``device``.
        engine: the running engine, with its ``name`` and ``dtype``.
        labels: names of the outputs; for a network without labels, the likely ones or numbers.
        trained_size: (H, W), the network's input size in training.
        statistics: ``mean`` and ``std`` for normalising the input.

    Raises:
        WrongTask, ValueError: for a network of another task, an unknown device or engine, or a budget that no network
            meets.
        ImportError: if the engine's package is missing.
    """

    spec: ClassVar[TaskSpec]
    flip: bool

    def __init__(
        self,
        name_or_model: str | Path | ScaleNet,
        device: Device,
        batch_size: int,
        engine: str,
        dtype: str | None,
        budget: Budget = NO_BUDGET,
        calibration: CalibrationImages | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.device, self.batch_size = engine_device(device, engine), batch_size
        if budget:
            model = network_within(_name(name_or_model), budget, self.device, self.spec, engine, dtype)
        else:
            model = load_model(name_or_model)
        self._check(model)
        self.model = fold(model).to(self.device)
        self.labels = self.spec.labels_of(model.labels, model.num_classes)
        self.trained_size, self.statistics = model_input(model)
        ready = Folded(self.model, statistics=self.statistics)
        images = None if calibration is None else partial(calibration_inputs, model, self.trained_size, calibration)
        self.engine = start_engine(ready, engine, dtype, self.trained_size, images)

    def __repr__(self) -> str:
        height, width = self.trained_size
        what = f"{len(self.labels.names)} {'joints' if self.spec.people else 'classes'} of {self.labels.dataset}"
        kind, dtype = type(self).__name__, self.engine.dtype
        name = self.model.arch.name or self.model.arch.digest
        return f"<{kind} {name}: {what}, {height}x{width}, {self.device}, {dtype}>"

    def _check(self, model: ScaleNet) -> None:
        """Refuse a network that this predictor cannot use."""
        needed = f"{type(self).__name__} needs a {self.spec.title} network"
        if model.spec != self.spec:
            raise WrongTask(f"{needed}, got one for {model.task}", model.task)
        if not model.num_classes:
            raise ValueError(f"{needed} with outputs, this one has no head (a classifier's backbone)")
        if model.in_chans != 3:
            raise ValueError(f"a network of RGB images is needed, this one reads {model.in_chans} channels")

    def _results(
        self, images: ImageLike | Sequence[ImageLike], stream: Callable[[list[ImageLike]], Iterable[Found]]
    ) -> Found | list[Found]:
        """The return value of a call: one result for an image, a list for a list."""
        images, single = as_list(images)
        results = knowing(images, stream)
        return results[0] if single else results

    def _batches(
        self, items: Iterable[Item], kind: Callable[[Item], Hashable], run: Callable[[list[Item]], Output]
    ) -> Iterator[tuple[list[Item], Output]]:
        """Consecutive items of one kind, up to ``batch_size``, with the output of ``run`` for them.

        With a ``batch_size`` of 2 or more, the next batch runs while the caller uses the last.
        """
        return prefetch(run, neighbours(items, self.batch_size, kind), self.batch_size > 1)

    def _check_finite(self, outputs: torch.Tensor, what: str) -> None:
        """Raise on NaN, whose comparisons would silently give class 0 or no joints.

        A sum is a cheap test, unless it overflows.
        """
        if math.isfinite(outputs.sum()) or outputs.isfinite().all():
            return
        name = self.engine.dtype
        half = f"{name} overflowed: run it in float32, as model.float()"
        cause = half if name in ("bfloat16", "float16") else "its weights or the image's values are broken"
        raise OutputError(f"the network's {what} hold NaN or infinity: {cause}")

    def _flips(self, flip: bool | None) -> bool:
        """Whether a call uses the flip test; None: the estimator's setting.

        Raises:
            ValueError: if ``flip`` is asked for and the labels have no ``flip_pairs``.
        """
        flip = self.flip if flip is None else flip
        if flip and not self.labels.flip_pairs:
            raise ValueError("flip=True needs labels with flip_pairs, which this network lacks")
        return flip


def _name(name: str | Path | ScaleNet) -> str | Path:
    if not isinstance(name, (str, Path)):
        raise BudgetError("a budget needs the name or file of a front, not a network")
    return name


def knowing(images: list[ImageLike], stream: Callable[[list[ImageLike]], Iterable[Found]]) -> list[Found]:
    """``stream(images)`` with each result's image attached: as given, or its pixels if it can be read only once."""
    images = [load_image(i) if is_url(i) or hasattr(i, "read") else i for i in images]
    return [replace(cast(Any, result), image=image) for result, image in zip(stream(images), images, strict=True)]


def progress(items: Iterable[Item], total: int | None = None, unit: str = "it", bar: bool = True) -> Iterable[Item]:
    """Iterate over the items, with a progress bar on stderr if ``bar`` is true and it is a terminal."""
    return tqdm(items, desc="images", total=total, unit=unit, disable=None if bar else True)
