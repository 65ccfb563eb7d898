"""``scalenet demo``: the app in a browser, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..runtime.command_line import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 to accept other machines (default: 127.0.0.1)")
    parser.add_argument("--port", type=positive, help="port (default: the first free one from 7860)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Serve the app until it is interrupted; uploads and results live in a folder that is removed then."""
    from ..demo import serve

    if args.port is not None and args.port > 65535:
        raise ValueError(f"a port is a number up to 65535, got {args.port}")
    stream = sys.stderr if args.json else sys.stdout
    return {"url": serve(args.host, args.port, lambda line: print(line, file=stream, flush=True))}
