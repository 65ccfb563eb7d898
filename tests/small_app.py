"""The app on a free port, with S0 and tiny random networks for poses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from scalenet.data.labels import COCO, CROWDPOSE

from .small_networks import small_network, write


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tiny_models(folder: Path) -> dict[str, list[str | Path]]:
    """What ``build_demo(models=…)`` takes: S0, a tiny pose and a tiny bottom-up network."""
    torch.manual_seed(0)
    pose = write(small_network("pose", COCO, (64, 48)), folder / "tiny_pose.safetensors")
    everyone = write(small_network("bottomup", CROWDPOSE, (64, 64)), folder / "tiny_everyone.safetensors")
    return {"segmentation": ["scalenet_s0"], "pose": [pose], "bottomup": [everyone]}


@contextmanager
def running(models: dict | None, temporary: Path) -> Iterator[str]:
    """The address of an app that keeps its files in ``temporary``."""
    pytest.importorskip("gradio", reason="pip install gradio")
    from scalenet.demo import build_demo

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(temporary))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        demo = build_demo(models)
        _, url, _ = demo.launch(
            server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True, inbrowser=False
        )
        try:
            yield url
        finally:
            demo.close(verbose=False)


def connect(url: str, downloads: Path):
    """A program's connection."""
    client = pytest.importorskip("gradio_client", reason="pip install gradio_client").Client
    return client(url, verbose=False, download_files=str(downloads), max_workers=20)


def send(path: str | Path) -> dict:
    """A file as an argument of ``predict``."""
    from gradio_client import handle_file

    return handle_file(str(path))
