"""The ``scalenet`` command: finds the subcommand, imports that one alone, and turns its errors into one line."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from . import _register
from .runtime.command_line import EXPECTED, CommandParser, MainParser, warning_line
from .runtime.errors import one_line
from .runtime.interrupt import imports_done

COMMANDS = {
    "list": "list the networks, with size, cost and weights",
    "info": "describe one network: size, cost, architecture, weights",
    "segment": "semantic segmentation of images or a video",
    "pose": "human pose estimation in images or a video",
    "convert": "convert the authors' checkpoints and masks to this project's format",
    "evaluate": "evaluate a network on a data set",
    "score": "compute the same metrics for a results file of any origin",
    "export": "export a network to ONNX or torch.export",
    "bench": "measure latency; print parameters and multiply-adds",
    "demo": "start the web app",
}
SHELLS = ("bash", "zsh", "tcsh")


class PrintCompletion(argparse.Action):
    """Print a shell's completion script, and end."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Print the completion script of the shell asked for, and end."""
        try:
            import shtab
        except ImportError:
            parser.error("shell completion needs shtab: pip install shtab")
        print(shtab.complete(build_parser(None, every=True), values))
        parser.exit()


def build_parser(chosen: str | None, every: bool = False) -> argparse.ArgumentParser:
    """The whole parser, with the arguments of the ``chosen`` subcommand, or of ``every`` one; of the others only the
    names.
    """
    from . import __version__

    parser = MainParser(
        prog="scalenet", description="ScaleNAS networks for human pose and segmentation.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"scalenet {__version__}")
    parser.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, help="print a shell completion script"
    )
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=CommandParser, title="commands"
    )
    for name, text in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=text)
        if every or name == chosen:
            module = importlib.import_module(f".commands.{name}", __package__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run, status=0)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status: 2 for anything the user can mend, after one line on stderr; 1 where
    some images could not be read and the others are done, or nothing was found.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what is wrong with an image is said once, here
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be no text
    warnings.formatwarning = warning_line  # type: ignore[assignment]
    argv = list(sys.argv[1:] if argv is None else argv)
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    args = build_parser(chosen).parse_args(argv)
    try:
        _quiet_hub()
        _register()
        imports_done()
        result = args.run(args)
        if args.json:
            print(json.dumps(result, allow_nan=False))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough; what is left to flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except EXPECTED as e:
        print(f"scalenet {args.command}: error: {one_line(e)}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as e:
        if not _out_of_memory(e):
            raise
        print(f"scalenet {args.command}: error: not enough memory for an image of this size", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return args.status


def _quiet_hub() -> None:
    """Keep the hub's client silent, unless its user has said: of what fails in the end one line is printed."""
    import logging  # no answer of the parser's needs it

    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(w in str(error) for w in words)


if __name__ == "__main__":
    sys.exit(main())
