"""Graphs of networks in 8-bit integers, made once and kept."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

import numpy as np

from ..nn.fuse import Folded
from .base import EngineError, Images
from .cache import cache_folder, keep
from .graph import GRAPHS, digest, onnx_graph
from .quantise import quantise


def int8_graph(network: Folded, images: Images | None) -> bytes:
    """The quantised graph of a network as it was kept; made, if there are images and it was not made with these.

    Args:
        images: what it is calibrated with; None: a graph must have been kept.

    Raises:
        EngineError: if there are neither images nor a graph.
        ImportError: if a package for ONNX is missing.
    """
    name = f"{digest(network)}-int8"
    if images is None:
        found = sorted((cache_folder() / GRAPHS).glob(f"{name}-*.onnx"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise EngineError("int8 needs images to be calibrated with once: calibration=FOLDER, --calibration FOLDER")
        return found[-1].read_bytes()
    arrays = list(images())
    made = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]
    path = cache_folder() / GRAPHS / f"{name}-{made}.onnx"
    with suppress(OSError):
        data = path.read_bytes()
        os.utime(path)  # the last that was asked for is what is taken without images
        return data
    data = quantise(onnx_graph(network), arrays)
    keep(path, data)
    return data
