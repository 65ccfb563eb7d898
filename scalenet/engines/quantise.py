"""Networks in 8-bit integers: ONNX Runtime's static quantisation of a graph, by what its layers give for images.

Weights have a scale for each channel; the first convolution and those that give the outputs stay in float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.sources import ImageError

INT8_TOLERANCE = 0.25  # of the largest output, against float32
QUANTISED = ["Conv", "Add", "Relu", "Concat", "Resize", "Split"]
ALREADY_SIMPLE = {"onnx.quant.pre_process": "onnxruntime.quant"}  # else it advises to do first what exporting has done


def quantise(graph: bytes, arrays: Sequence[np.ndarray]) -> bytes:
    """An ONNX model that computes in 8-bit integers, calibrated with (1, C, H, W) arrays as it takes them.

    Raises:
        ImageError: without any.
        ImportError: if onnxruntime or onnx is missing.
    """
    if not len(arrays):
        raise ImageError("int8 needs images to be calibrated with, got none")
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError:
        raise ImportError('int8 needs onnx and onnxruntime: pip install "scalenet[engines]"') from None
    model = onnx.load_from_string(graph)
    metadata = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, metadata | ALREADY_SIMPLE)
    with tempfile.TemporaryDirectory() as folder:
        quantization.quantize_static(
            model, Path(folder) / "int8.onnx", _Reader(arrays), per_channel=True, op_types_to_quantize=QUANTISED,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=_kept_in_float(model.graph),
        )  # fmt: skip
        made = onnx.load(str(Path(folder) / "int8.onnx"))
    onnx.helper.set_model_props(made, metadata)
    return made.SerializeToString()


class _Reader:
    """Images in the form that the quantisation asks for."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._left: Iterator[np.ndarray] = iter(arrays)

    def get_next(self) -> dict[str, np.ndarray] | None:
        array = next(self._left, None)
        return None if array is None else {"images": array}


def _kept_in_float(graph: Any) -> list[str]:
    """Names of the convolution that reads the images and of those that give the outputs."""
    makers = {output: node for node in graph.node for output in node.output}
    found = [next(node.name for node in graph.node if node.op_type == "Conv")]
    for output in graph.output:
        node = makers[output.name]
        while node.op_type != "Conv":  # what resizes or splits what the last one gives
            node = makers[node.input[0]]
        found.append(node.name)
    return found
