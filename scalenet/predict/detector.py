"""Person detectors, for images without boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from .bottomup import BottomUpPoseEstimator

Detector = Callable[[np.ndarray], object]  # RGB (H, W, 3) uint8 -> (N, 4 or 5) boxes
CHOICES = "bottomup, bottomup:NAME, torchvision:NAME, a .onnx file of YOLOX's form, or in Python a function or None"


def make_detector(
    spec: str | Path | Detector | BottomUpPoseEstimator | None,
    device: str | torch.device | None = None,
    engine: str = "torch",
    dtype: str | None = None,
) -> Detector | None:
    """Make a person detector.

    Args:
        spec: "bottomup" (:class:`~scalenet.predict.people.BottomUpDetector`, whose network is loaded at the first
            image), "bottomup:NAME" (any bottom-up network: a registered name, "hf-hub:…", "local-dir:…" or a
            ``.safetensors`` file) or a bottom-up estimator, "torchvision:NAME" (:func:`torchvision_detector`), a
            ``.onnx`` file (:class:`~scalenet.predict.yolox.YoloxDetector`), a function from an RGB (H, W, 3) uint8
            image to (N, 4 or 5) boxes, which is returned unchanged, or None: the whole image is one person.
        device: where networks run; ONNX files run on the CPU.
        engine, dtype: inference engine and precision of a bottom-up network, see its estimator.

    Raises:
        ValueError: for anything else (the message lists the choices), or a file or network of another kind.
        LookupError, FileNotFoundError, ImportError: for an unknown name, a missing file, or a missing package.
    """
    if isinstance(spec, (str, Path)):
        return _named(str(spec), device, engine, dtype)
    if spec is not None and not callable(spec):
        raise ValueError(f"no detector {spec!r}; choose from {CHOICES}")
    from .bottomup import BottomUpPoseEstimator
    from .people import BottomUpDetector

    return BottomUpDetector(spec) if isinstance(spec, BottomUpPoseEstimator) else spec


def _named(text: str, device: str | torch.device | None, engine: str, dtype: str | None) -> Detector:
    from .people import BottomUpDetector

    kind, colon, name = text.partition(":")
    if kind == "bottomup" and not colon:
        return BottomUpDetector(device=device, engine=engine, dtype=dtype)
    if kind == "bottomup" and name:
        from .bottomup import BottomUpPoseEstimator

        return BottomUpDetector(BottomUpPoseEstimator(name, device, engine=engine, dtype=dtype))
    if kind == "torchvision" and name:
        return torchvision_detector(name, device=device)
    if text.lower().endswith(".onnx"):
        from .yolox import YoloxDetector

        return YoloxDetector(text)
    raise ValueError(f"no detector {text!r}; choose from {CHOICES}")


def torchvision_detector(
    name: str = "fasterrcnn_mobilenet_v3_large_fpn", threshold: float = 0.5, device: str | torch.device | None = None
) -> Detector:
    """A torchvision detection model with torchvision's weights, which are downloaded at the first call.

    Args:
        name: as torchvision registers it, such as "fasterrcnn_resnet50_fpn_v2", "ssdlite320_mobilenet_v3_large".
        threshold: minimum score of a person, 0..1.
        device: where it runs; default the CPU.

    Returns:
        A function from an RGB (H, W, 3) uint8 image to (N, 5) float32 x1, y1, x2, y2, score.

    Raises:
        LookupError: for a name unknown to torchvision, or a model without a person class.
        ValueError: if the cached weights are damaged.
    """
    network, person = _torchvision_network(name, device or "cpu")

    @torch.inference_mode()
    def detect(image: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).to(device or "cpu").float() / 255
        found = network([tensor])[0]
        keep = (found["labels"] == person) & (found["scores"] >= threshold)
        return torch.cat([found["boxes"][keep], found["scores"][keep, None]], 1).float().cpu().numpy()

    return detect


def _torchvision_network(name: str, device: str | torch.device) -> tuple[torch.nn.Module, int]:
    """The network in evaluation mode, and the number of its class person."""
    from torchvision.models import detection, get_model, get_model_weights, list_models

    known = list_models(module=detection)
    if name not in known:
        raise LookupError(f"torchvision has no detector {name!r}; choose from {', '.join(known)}")
    weights = get_model_weights(name).DEFAULT
    categories = weights.meta["categories"]
    if "person" not in categories:
        raise LookupError(f"{name} does not find people")
    try:
        return get_model(name, weights=weights).eval().to(device), categories.index("person")
    except OSError:  # the download
        raise
    except Exception as e:  # a damaged file can make the reader fail in any way
        where = f"{torch.hub.get_dir()}/checkpoints"
        raise ValueError(f"{name}: what {where} holds of it is damaged ({str(e)[:80]}); remove it") from None
