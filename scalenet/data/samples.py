"""Photographs that ship inside other packages, to try a network on without an image of one's own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def sample_photograph() -> Path:
    """The photograph china.jpg inside scikit-learn (which is not imported).

    Raises:
        ValueError: if scikit-learn is not installed.
    """
    return _image_of("sklearn", "scikit-learn", "datasets/images/china.jpg")


def sample_portrait() -> Path:
    """The photograph grace_hopper.jpg inside matplotlib (which is not imported).

    Raises:
        ValueError: if matplotlib is not installed.
    """
    return _image_of("matplotlib", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


def _image_of(package: str, distribution: str, name: str) -> Path:
    spec = find_spec(package)
    path = Path(spec.origin).parent / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ValueError(f"--sample needs {distribution} (pip install {distribution}); or give an image of your own")
    return path
