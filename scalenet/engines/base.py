"""What an engine is, and how one is made for a network.

B images of one size (H, W). An engine takes (B, C, H, W) images, uint8 or float32 RGB values 0..255 (of a network
without ``statistics``: float32, normalised), and gives the network's outputs at their own strides as float32 tensors,
whatever it computes in.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch

from ..nn.fuse import Folded
from ..runtime.device import Device, pick_device
from .cache import cache_folder
from .names import ENGINES, ON_PROCESSORS
from .quantise import INT8_TOLERANCE

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "int8": INT8_TOLERANCE}  # of the largest output, against float32
SMALL = (64, 96)  # (H, W) that an engine is looked at with before it is used
INSTALL = 'pip install "scalenet[engines]"'

Outputs = tuple[torch.Tensor, ...]
Images = Callable[[], Iterable[np.ndarray]]  # (1, C, H, W) arrays as a network takes them


class EngineError(ValueError):
    """An engine that cannot run a network, or that computes something else than PyTorch does."""


class Engine(Protocol):
    """A network made ready; ``name`` is the engine's, ``dtype`` what it computes in."""

    @property
    def name(self) -> str:
        """One of :data:`ENGINES`."""

    @property
    def dtype(self) -> str:
        """What it computes in, such as "float32"."""

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for (B, in_chans, H, W) images."""
        ...


def engine_device(device: Device, engine: str) -> torch.device:
    """Where an engine runs: the device asked for, or the first there is that it can run on.

    Raises:
        ValueError: if there is no such device.
    """
    return pick_device("cpu" if device is None and engine in ON_PROCESSORS else device)


def _check_plain(network: Folded, name: str) -> None:
    if network.device.type != "cpu":
        raise EngineError(f"engine {name} runs on processors, not on {network.device}: use torch, or device cpu")
    if any(m._forward_hooks or m._forward_pre_hooks for m in network.modules()):
        raise EngineError(f"engine {name} would not call the network's hooks: use torch, or take them off")


def make_engine(network: Folded, name: str, dtype: str, images: Images | None = None) -> Engine:
    """``network`` in the engine ``name``, on the device its weights are on, with as many threads as torch has now.

    Args:
        name: one of :data:`ENGINES` but "auto".
        dtype: "float32", "bfloat16" or "int8"; PyTorch takes the name of any floating-point type.
        images: what "int8" is calibrated with; None: the quantised graph that was kept.

    Raises:
        EngineError: if the engine does not run there or in that type, or computes something else.
        ImportError: if its package is missing, with the way to install it.
    """
    if name in ("torch", "compile"):
        if dtype == "int8":
            raise EngineError(f"int8 runs in onnxruntime and openvino, not in engine {name}")
        from .eager import TorchEngine

        return TorchEngine(network, dtype, compiled=name == "compile")
    if name == "onnxruntime":
        from .onnx_runtime import OnnxRuntimeEngine

        made: Callable[[Folded, str, Images | None], Engine] = OnnxRuntimeEngine
    elif name == "openvino":
        from .openvino import OpenVinoEngine

        made = OpenVinoEngine
    else:
        raise EngineError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    _check_plain(network, name)
    try:
        engine = made(network, dtype, images)
        check_engine(engine, network)
    except (EngineError, ImportError):
        raise
    except Exception as e:  # each engine has errors of its own
        reason = " ".join(str(e).split())[:100] or type(e).__name__
        raise EngineError(
            f"engine {name} cannot run this network ({reason}); if a graph was kept damaged, remove {cache_folder()}"
        ) from None
    return engine


def check_engine(engine: Engine, network: Folded, size: tuple[int, int] = SMALL) -> None:
    """Compare an engine with PyTorch in float32 on one random image.

    Raises:
        EngineError: if an output differs by more than :data:`TOLERANCE` of its largest value.
    """
    found = difference(engine, network, size)
    if not found <= TOLERANCE[engine.dtype]:
        raise EngineError(
            f"{engine.name} in {engine.dtype} differs from PyTorch by {found:.2g} of the largest output "
            f"(at most {TOLERANCE[engine.dtype]:g}): it is not used"
        )


@torch.inference_mode()
def difference(engine: Engine, network: Folded, size: tuple[int, int]) -> float:
    """Largest difference to PyTorch in float32, as a share of an output's largest value, on a random image."""
    x = network.example(1, size)
    expected = network.in_dtype(torch.float32)(x)
    worst = 0.0
    for a, b in zip(expected, engine(x), strict=True):
        if a.shape != b.shape:
            raise EngineError(f"{engine.name} gives {tuple(b.shape)} where PyTorch gives {tuple(a.shape)}")
        share = (a - b).abs().max() / a.abs().max().clamp_min(1e-6)
        worst = max(worst, share.item() if share.isfinite() else float("inf"))
    return worst


class Running:
    """An engine at work; if another than PyTorch fails, that is said once and PyTorch takes over.

    Attributes:
        name, dtype: of the engine that runs now.
    """

    def __init__(self, engine: Engine, network: Folded) -> None:
        self._engine, self._network = engine, network

    @property
    def name(self) -> str:
        """One of :data:`ENGINES`."""
        return self._engine.name

    @property
    def dtype(self) -> str:
        """What it computes in, such as "float32"."""
        return self._engine.dtype

    def __call__(self, x: torch.Tensor) -> Outputs:
        """The network's outputs, in float32, for (B, in_chans, H, W) images."""
        engine = self._engine
        try:
            return engine(x)
        except Exception as e:
            if engine.name == "torch":
                raise
            reason = " ".join(str(e).split())[:100] or type(e).__name__
        warnings.warn(f"engine {engine.name} failed ({reason}): PyTorch takes over", stacklevel=2)
        self._engine = make_engine(self._network, "torch", self._network.dtype_name)
        return self._engine(x)

    def __repr__(self) -> str:
        return f"{self.name}, {self.dtype}"
