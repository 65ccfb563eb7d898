"""ONNX Runtime on the processor."""

from __future__ import annotations

import torch

from ..fuse import Folded
from .base import INSTALL, EngineError, Outputs
from .graph import onnx_graph


class OnnxRuntimeEngine:
    """A network in ONNX Runtime, float32, with the threads torch has when it is made; any sizes.

    Raises:
        EngineError: for another type: its processor kernels know no convolution in bfloat16.
        ImportError: if onnxruntime is missing.
    """

    name = "onnxruntime"

    def __init__(self, network: Folded, dtype: str) -> None:
        if dtype != "float32":
            raise EngineError(f"engine onnxruntime computes in float32 on processors, not in {dtype}: use openvino")
        try:
            import onnxruntime
        except ImportError:
            raise ImportError(f"engine onnxruntime needs onnxruntime: {INSTALL}") from None
        self.dtype = dtype
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(onnx_graph(network), options, ["CPUExecutionProvider"])

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for normalised (B, in_chans, H, W) images."""
        arrays = self._session.run(None, {"images": x.float().contiguous().numpy()})
        return tuple(map(torch.from_numpy, arrays))
