"""scalenet: multi-resolution networks for pose and segmentation, searched once and deployed without retraining.

``import scalenet`` registers the networks with timm: ``timm.create_model("scalenet_s0", pretrained=True)``. What turns
images into results is imported when it is first asked for. The ``scalenet`` command, which answers ``--help`` and wrong
options before torch is there, registers them when a subcommand runs.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from .runtime.entry import is_scalenet as _is_scalenet
from .runtime.entry import sleep_at_barriers as _sleep_at_barriers
from .runtime.interrupt import quiet_imports as _quiet_imports

_quiet_imports()
_sleep_at_barriers()

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
    "Arch": "scalenet.archs.arch",
    "ArchError": "scalenet.archs.arch",
    "SearchSpace": "scalenet.archs.arch",
    "NoWeights": "scalenet.models.checkpoint",
    "WeightsError": "scalenet.models.checkpoint",
    "create_model": "scalenet.models.factory",
    "list_models": "scalenet.models.factory",
    "ScaleNet": "scalenet.nn.network",
}
_MODULES = ("bench", "data", "demo", "evaluate", "models", "predict")


def _register() -> None:
    """Register the networks with timm, after a look at whether torch and torchvision fit each other."""
    from .runtime.installation import check_torchvision

    check_torchvision()
    _import_module("scalenet.models.factory")


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _import_module(f"scalenet.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'scalenet' has no attribute {name!r}")
    return getattr(_import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})


if _TYPE_CHECKING or not _is_scalenet():
    _register()
    from .archs.arch import Arch, ArchError, SearchSpace
    from .models.checkpoint import NoWeights, WeightsError
    from .models.factory import create_model, list_models
    from .nn.network import ScaleNet
