"""``scalenet demo``: the app in a browser, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from typing import Any

from .options import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 for other machines too (default: 127.0.0.1)")
    parser.add_argument("--port", type=positive, help="default: the first free one from 7860")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Serve the app until it is interrupted; uploads and results live in a folder that is removed then."""
    if args.port is not None and args.port > 65535:
        raise ValueError(f"a port is a number up to 65535, got {args.port}")
    with tempfile.TemporaryDirectory(prefix="scalenet-demo-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("GRADIO_TEMP_DIR", folder)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ.setdefault("MPLBACKEND", "agg")  # not told, gradio's first answer waits for all of pyplot
        from ..demo import build_demo

        demo = build_demo()
        _, url, _ = demo.launch(
            server_name=args.host, server_port=args.port, prevent_thread_lock=True, quiet=True, inbrowser=False
        )
        print(f"ready at {url} (Ctrl-C ends it)", file=sys.stderr if args.json else sys.stdout, flush=True)
        try:
            _wait()
        finally:
            demo.close(verbose=False)
    return {"url": url}


def _wait() -> None:
    """Until Ctrl-C or a polite kill."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
