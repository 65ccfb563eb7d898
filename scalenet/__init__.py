"""scalenet: multi-resolution networks for pose and segmentation, searched once and deployed without retraining.

``import scalenet`` registers the networks with timm: ``timm.create_model("scalenet_s0", pretrained=True)``. What turns
images into results is imported when it is first asked for.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from ._check import check_torchvision as _check_torchvision

_check_torchvision()

from .arch import Arch, ArchError, SearchSpace  # noqa: E402
from .models.checkpoint import NoWeights, WeightsError  # noqa: E402
from .models.factory import create_model, list_models  # noqa: E402
from .network import ScaleNet  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "Arch", "ArchError", "BottomUpPoseEstimator", "Front", "NoWeights", "PoseEstimator", "ScaleNet", "SearchSpace",
    "Segmenter", "WeightsError", "create_model", "list_models", "push_to_hub", "save_pretrained",
]  # fmt: skip

_LATER = {
    "Segmenter": "scalenet.predict.segmentation",
    "PoseEstimator": "scalenet.predict.topdown",
    "BottomUpPoseEstimator": "scalenet.predict.bottomup",
    "Front": "scalenet.engines.front",
    "save_pretrained": "scalenet.models.hub",
    "push_to_hub": "scalenet.models.hub",
}


_MODULES = ("bench", "data", "demo", "evaluate", "export", "models", "predict")


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _import_module(f"scalenet.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'scalenet' has no attribute {name!r}")
    return getattr(_import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})
