"""OpenVINO on the processor."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import Any

import torch

from ..fuse import Folded
from .base import INSTALL, EngineError, Outputs
from .graph import onnx_graph

KEPT = 4  # shapes that have a compiled form of their own
REMEMBERED = 256  # shapes whose number is remembered
Shape = tuple[int, ...]


class OpenVinoEngine:
    """A network in OpenVINO, float32 or bfloat16, with the threads torch has when it is made.

    One compiled form takes any shape. A shape that comes a second time is compiled once more for itself alone, which
    runs faster; the last 4 of these are kept.

    Raises:
        EngineError: for another type, or if this processor has no arithmetic in it.
        ImportError: if openvino is missing.
    """

    name = "openvino"

    def __init__(self, network: Folded, dtype: str) -> None:
        precisions = {"float32": "f32", "bfloat16": "bf16"}
        if dtype not in precisions:
            raise EngineError(f"engine openvino computes in {' or '.join(precisions)}, not in {dtype}")
        try:
            import openvino
        except ImportError:
            raise ImportError(f"engine openvino needs openvino: {INSTALL}") from None
        self.dtype, self._core = dtype, openvino.Core()
        if dtype == "bfloat16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineError("this processor has no arithmetic in bfloat16: use float32")
        self._model = self._core.read_model(onnx_graph(network), b"")
        self._settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precisions[dtype],
            "PERFORMANCE_HINT": "LATENCY",
        }  # fmt: skip
        self._any = self._core.compile_model(self._model, "CPU", self._settings)
        self._own: OrderedDict[Shape, Any] = OrderedDict()
        self._seen: Counter[Shape] = Counter()
        self._lock = threading.Lock()

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for normalised (B, in_chans, H, W) images."""
        request = self._compiled(tuple(x.shape)).create_infer_request()  # of this call alone: threads share the rest
        found = request.infer([x.float().contiguous().numpy()], share_inputs=True)
        return tuple(torch.from_numpy(found[i]) for i in range(len(found)))

    def _compiled(self, shape: Shape) -> Any:
        with self._lock:
            if shape in self._own:
                self._own.move_to_end(shape)
                return self._own[shape]
            if len(self._seen) == REMEMBERED:
                self._seen.clear()
            self._seen[shape] += 1
            if self._seen[shape] == 1:
                return self._any
            model = self._model.clone()
            model.reshape(list(shape))
            self._own[shape] = self._core.compile_model(model, "CPU", self._settings)
            if len(self._own) > KEPT:
                self._own.popitem(last=False)
            return self._own[shape]
