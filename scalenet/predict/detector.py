"""A person detector of torchvision's, for pictures that come without boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Detector = Callable[[np.ndarray], object]  # RGB (H, W, 3) uint8 -> (N, 4 or 5) boxes


def torchvision_detector(
    name: str = "fasterrcnn_mobilenet_v3_large_fpn", threshold: float = 0.5, device: str | torch.device | None = None
) -> Detector:
    """One of torchvision's detection networks with torchvision's own weights, which this call downloads once.

    Args:
        name: as torchvision registers it, such as "fasterrcnn_resnet50_fpn_v2", "ssdlite320_mobilenet_v3_large".
        threshold: least score of a person.
        device: where it runs; default the processor.

    Returns:
        A function from an RGB (H, W, 3) uint8 picture to (N, 5) float32 x1, y1, x2, y2, score.

    Raises:
        LookupError: for a name torchvision does not know, or one that does not find people.
        ValueError: if its weights were kept damaged.
    """
    from torchvision.models import detection, get_model, get_model_weights, list_models

    known = list_models(module=detection)
    if name not in known:
        raise LookupError(f"torchvision has no detector {name!r}; choose from {', '.join(known)}")
    weights = get_model_weights(name).DEFAULT
    categories = weights.meta["categories"]
    if "person" not in categories:
        raise LookupError(f"{name} does not find people")
    person = categories.index("person")
    try:
        network = get_model(name, weights=weights).eval().to(device or "cpu")
    except OSError:  # the download
        raise
    except Exception as e:  # a damaged file can make the reader fail in any way
        where = f"{torch.hub.get_dir()}/checkpoints"
        raise ValueError(f"{name}: what {where} holds of it is damaged ({str(e)[:80]}); remove it") from None

    @torch.inference_mode()
    def detect(image: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).to(device or "cpu").float() / 255
        found = network([tensor])[0]
        keep = (found["labels"] == person) & (found["scores"] >= threshold)
        return torch.cat([found["boxes"][keep], found["scores"][keep, None]], 1).float().cpu().numpy()

    return detect
