"""A network's ONNX graph for other engines, made once and kept in the user's cache; and that cache."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch

from ..data.io import atomic_write
from ..fuse import Folded

KEPT = 16  # graphs in the cache
GRAPHS = "graphs"


def cache_folder() -> Path:
    """Where this package keeps what can be made again: ``$SCALENET_CACHE``, else ``~/.cache/scalenet``."""
    if given := os.environ.get("SCALENET_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalenet"


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache; where that cannot be, it is said once and nothing is kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except OSError as e:
        _say_unwritable(str(cache_folder()), e.strerror or str(e))


@lru_cache(maxsize=8)
def _say_unwritable(folder: str, reason: str) -> None:
    warnings.warn(f"nothing is kept in {folder} ({reason}): engines are made anew each time", stacklevel=4)


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
    from ..export import onnx_model

    if sys.stderr.isatty():
        print("making the network's ONNX graph, once: up to a minute", file=sys.stderr)
    data = onnx_model(network.in_dtype(torch.float32), {}, network.network.spec.output_names)
    keep(path, data)
    with suppress(OSError):
        for old in sorted(path.parent.glob("*.onnx"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
            old.unlink()
    return data
