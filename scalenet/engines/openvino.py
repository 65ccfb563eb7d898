"""OpenVINO on the processor."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import Any

import torch

from ..nn.fuse import Folded
from .base import INSTALL, EngineError, Images, Outputs
from .graph import onnx_graph
from .int8 import int8_graph

KEPT = 4  # shapes that have a compiled form of their own
REMEMBERED = 256  # shapes whose number is remembered
Shape = tuple[int, ...]
Form = tuple[Shape, torch.dtype]


class OpenVinoEngine:
    """A network in OpenVINO, float32, bfloat16 or int8, with the threads torch has when it is made.

    One compiled form takes any shape. A shape that comes a second time is compiled once more for itself alone, which
    runs faster; the last 4 of these are kept.

    Raises:
        EngineError: for another type, or if this processor has no arithmetic in it.
        ImportError: if openvino is missing.
    """

    name = "openvino"

    def __init__(self, network: Folded, dtype: str, images: Images | None = None) -> None:
        precisions = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}  # of what is not quantised
        if dtype not in precisions:
            raise EngineError(f"engine openvino computes in {' or '.join(precisions)}, not in {dtype}")
        try:
            import openvino
        except ImportError:
            raise ImportError(f"engine openvino needs openvino: {INSTALL}") from None
        self.dtype, self._core = dtype, openvino.Core()
        if dtype == "bfloat16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineError("this processor has no arithmetic in bfloat16: use float32")
        graph = int8_graph(network, images) if dtype == "int8" else onnx_graph(network)
        self._model = self._core.read_model(graph, b"")
        self._settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precisions[dtype],
            "PERFORMANCE_HINT": "LATENCY",
        }  # fmt: skip
        self._any = self._core.compile_model(self._model, "CPU", self._settings)
        self._taken, self._float = network.example(1, (1, 1)).dtype, openvino.Type.f32
        self._own: OrderedDict[Form, Any] = OrderedDict()
        self._seen: Counter[Form] = Counter()
        self._lock = threading.Lock()

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for (B, in_chans, H, W) images."""
        request = self._compiled(
            tuple(x.shape), x.dtype
        ).create_infer_request()  # of this call alone: threads share the rest
        found = request.infer([x.contiguous().numpy()], share_inputs=True)
        return tuple(torch.from_numpy(found[i]) for i in range(len(found)))

    def _compiled(self, shape: Shape, dtype: torch.dtype) -> Any:
        form = shape, dtype
        with self._lock:
            if form in self._own:
                self._own.move_to_end(form)
                return self._own[form]
            if len(self._seen) == REMEMBERED:
                self._seen.clear()
            self._seen[form] += 1
            if self._seen[form] == 1 and dtype == self._taken:
                return self._any
            model = self._model.clone()
            model.reshape(list(shape))
            if dtype != self._taken:  # images that were resized
                model.input(0).get_node().set_element_type(self._float)
                model.validate_nodes_and_infer_types()
            self._own[form] = self._core.compile_model(model, "CPU", self._settings)
            if len(self._own) > KEPT:
                self._own.popitem(last=False)
            return self._own[form]
