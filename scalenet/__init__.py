"""scalenet: multi-resolution networks for pose and segmentation, searched once and deployed without retraining.

``import scalenet`` registers the networks with timm: ``timm.create_model("scalenet_s0", pretrained=True)``.
"""

from ._check import check_torchvision as _check_torchvision

_check_torchvision()

from .arch import Arch, ArchError, SearchSpace  # noqa: E402
from .models import create_model, list_models  # noqa: E402
from .network import ScaleNet  # noqa: E402
from .weights import NoWeights, WeightsError  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "Arch", "ArchError", "NoWeights", "ScaleNet", "SearchSpace", "WeightsError", "create_model", "list_models",
]  # fmt: skip
