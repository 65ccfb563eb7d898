"""Networks of timm and torchvision in the same engines, for :mod:`benchmarks.speed`; random weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from scalenet.nn.fuse import fold

Outputs = tuple[torch.Tensor, ...]
FORMS = ("torch contiguous", "torch channels last", "torch folded", "onnxruntime", "openvino", "openvino bfloat16")


class Plain(nn.Module):
    """A network whose outputs are a tuple, whatever it gives itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> Outputs:
        """The outputs, in their order."""
        y = self.network(x)
        return tuple(y.values()) if isinstance(y, dict) else tuple(y)


def rival(name: str) -> Plain:
    """``timm:hrnet_w32`` as its features, or ``torchvision:lraspp_mobilenet_v3_large``."""
    source, _, model = name.partition(":")
    if source == "timm":
        import timm

        return Plain(timm.create_model(model, features_only=True)).eval()
    if source == "torchvision":
        from torchvision.models import get_model

        return Plain(get_model(model, weights=None, weights_backbone=None)).eval()
    raise ValueError(f"a rival is timm:NAME or torchvision:NAME, got {name!r}")


def macs_of(network: nn.Module, x: torch.Tensor) -> int:
    """Multiply-adds of one image of the batch, convolutions and matrix products."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(x[:1])
    return counter.get_total_flops() // 2


class Rival:
    """Stands among the engines: a network in one of :data:`FORMS`, for images of one shape."""

    def __init__(self, network: Plain, form: str, x: torch.Tensor) -> None:
        self.name, _, self.dtype = form.partition(" ")
        self.dtype = "bfloat16" if self.dtype == "bfloat16" else "float32"
        self._x = torch.randn(x.shape)
        self._run = self._torch(network, form) if self.name == "torch" else self._runtime(network)

    def _torch(self, network: Plain, form: str) -> Any:
        last = form != "torch contiguous"
        layout = torch.channels_last if last else torch.contiguous_format
        network = fold(network) if form == "torch folded" else copy.deepcopy(network).to(memory_format=layout)
        x = self._x.contiguous(memory_format=layout)
        return lambda: network(x)

    def _runtime(self, network: Plain) -> Any:
        program = torch.onnx.export(fold(network), (self._x,), input_names=["images"], dynamo=True, verbose=False)
        graph, array = program.model_proto.SerializeToString(), self._x.numpy()
        if self.name == "onnxruntime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
            return lambda: session.run(None, {"images": array})
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.dtype == "bfloat16" else "f32",
        }  # fmt: skip
        request = core.compile_model(core.read_model(graph, b""), "CPU", settings).create_infer_request()
        return lambda: request.infer([array], share_inputs=True)

    def __call__(self, x: torch.Tensor) -> Any:
        """Run it, on images of its own."""
        return self._run()


def rivals(names: list[str], x: torch.Tensor, forms: tuple[str, ...]) -> Iterator[tuple[str, str, Rival, int]]:
    """Each network's name, form, engine and multiply-adds; what cannot run here is said and left out."""
    for name in names:
        network = rival(name)
        macs = macs_of(network, torch.randn(x.shape))
        for form in forms:
            try:
                yield name, form, Rival(network, form, x), macs
            except Exception as e:  # each engine has errors of its own
                print(f"left out: {name} in {form} ({' '.join(str(e).split())[:100]})", flush=True)
