"""One look at the installation before timm is imported, so that a broken pair of wheels says so in one sentence."""

import importlib


def check_torchvision() -> None:
    """Import torchvision, which timm needs.

    Raises:
        ImportError: saying what is wrong and how to mend it, where the torchvision wheel does not belong to torch.
    """
    try:
        importlib.import_module("torchvision")
    except (RuntimeError, OSError, AttributeError) as e:
        import torch

        raise ImportError(
            f"torchvision does not fit torch {torch.__version__} ({str(e)[:60]}): install a matching pair, "
            "for example: pip install torch==2.14.1 torchvision==0.29.1"
        ) from e
