"""ONNX Runtime on the processor."""

from __future__ import annotations

import threading
from typing import Any

import torch

from ..nn.fuse import Folded
from .base import INSTALL, EngineError, Images, Outputs
from .graph import onnx_graph, taking_floats
from .int8 import int8_graph


class OnnxRuntimeEngine:
    """A network in ONNX Runtime, float32 or int8, with the threads torch has when it is made; any sizes.

    Raises:
        EngineError: for another type: its processor kernels know no convolution in bfloat16.
        ImportError: if onnxruntime is missing.
    """

    name = "onnxruntime"

    def __init__(self, network: Folded, dtype: str, images: Images | None = None) -> None:
        if dtype not in ("float32", "int8"):
            raise EngineError(
                f"engine onnxruntime computes in float32 or int8 on processors, not in {dtype}: use openvino"
            )
        try:
            import onnxruntime
        except ImportError:
            raise ImportError(f"engine onnxruntime needs onnxruntime: {INSTALL}") from None
        self.dtype = dtype
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = torch.get_num_threads()
        self._options.log_severity_level = 3
        self._graph = int8_graph(network, images) if dtype == "int8" else onnx_graph(network)
        self._lock = threading.Lock()
        self._sessions = {network.example(1, (1, 1)).dtype: self._session(self._graph)}

    def _session(self, graph: bytes) -> Any:
        import onnxruntime

        return onnxruntime.InferenceSession(graph, self._options, ["CPUExecutionProvider"])

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for (B, in_chans, H, W) images."""
        with self._lock:
            if x.dtype not in self._sessions:  # images that were resized
                self._sessions[x.dtype] = self._session(taking_floats(self._graph))
        arrays = self._sessions[x.dtype].run(None, {"images": x.contiguous().numpy()})
        return tuple(map(torch.from_numpy, arrays))
