"""A network's ONNX graph for other engines, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress

import torch

from ..nn.fuse import Folded
from .cache import cache_folder, keep

KEPT = 16  # graphs in the cache
GRAPHS = "graphs"


def digest(network: Folded) -> str:
    """What tells one network from another: its architecture, task, weights and the versions that make its graph."""
    from .. import __version__

    net = network.network
    facts = [__version__, torch.__version__, net.task, net.num_classes, net.in_chans, net.active.to_dict()]
    made = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, value in network.state_dict().items():
        made.update(name.encode())
        made.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return made.hexdigest()[:32]


def taking_floats(graph: bytes) -> bytes:
    """The graph of a network that takes uint8, for float32 images of values 0..255."""
    import onnx

    model = onnx.load_from_string(graph)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model.SerializeToString()


def onnx_graph(network: Folded) -> bytes:
    """The network as an ONNX model, float32, of images as it takes them, with free batch, height and width; from the
    cache if it is there.

    Making it takes as long as an export, up to a minute.

    Raises:
        ImportError: if a package for ONNX is missing.
    """
    path = cache_folder() / GRAPHS / f"{digest(network)}.onnx"
    with suppress(OSError):
        data = path.read_bytes()
        os.utime(path)
        return data
    from .export import onnx_model

    if sys.stderr.isatty():
        print("making the network's ONNX graph, once: up to a minute", file=sys.stderr)
    data = onnx_model(network.in_dtype(torch.float32), {}, network.network.spec.output_names)
    keep(path, data)
    with suppress(OSError):
        for old in sorted(path.parent.glob("*.onnx"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
            old.unlink()
    return data
