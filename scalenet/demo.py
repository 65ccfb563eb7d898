"""The Gradio app: segmentation, pose and video. ``scalenet demo`` starts it; it needs the extra ``demo``."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio as gr

    from .app.networks import Networks

TITLE = "ScaleNet"
TEXT = "See what is where in a photograph or a video: streets and people pixel by pixel, and how people stand and move."
QUEUE = 64  # visitors who wait; more are asked to come back
CLEANING = (60, 900)  # seconds: how often to look for old files, and how old they may become
MAX_FILE_SIZE = "200mb"


def build_demo(
    models: Mapping[str, Sequence[str | Path]] | None = None, fronts: Sequence[str | Path] | None = None
) -> gr.Blocks:
    """Build the app, ready for ``.launch()``, with suitable defaults (no share link, limited uploads, theme).

    Args:
        models: networks by task ("segmentation", "pose", "bottomup"): registered names, "hf-hub:…", "local-dir:…" or
            ``.safetensors`` files. Default: all networks with weights in this package.
        fronts: fronts for the Any-budget tab, which is omitted without any: names or files, see
            :class:`scalenet.Front`. Default: all in this package, or none if ``models`` is given.

    Raises:
        ImportError: if gradio is not installed.
        ValueError, LookupError, FileNotFoundError: for an unknown task, name or file in ``models`` or ``fronts``.
    """
    try:
        import gradio as gr
    except ModuleNotFoundError as e:
        raise ImportError(f"the demo needs gradio ({e}): pip install gradio matplotlib av") from None
    from .app.budget import shipped_fronts
    from .app.inputs import check_first
    from .app.layout import build_layout
    from .app.networks import Networks

    networks = Networks(models)
    fronts = (shipped_fronts() if models is None else ()) if fronts is None else fronts
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CLEANING) as demo:
        gr.Markdown(f"# {TITLE}\n{TEXT}", elem_classes="head")
        build_layout(networks, fronts, demo.GRADIO_CACHE)
    check_first(demo)
    demo.queue(max_size=QUEUE, default_concurrency_limit=1)
    demo.launch = _launcher(demo.launch, networks, Path(demo.GRADIO_CACHE))
    return demo


def serve(host: str | None = None, port: int | None = None, ready: Callable[[str], None] = print) -> str:
    """Serve the app until Ctrl-C or SIGTERM, and return its URL. Uploads and results are stored in a temporary folder
    (inside GRADIO_TEMP_DIR, if that is set), which is then deleted.

    Args:
        host, port: default: gradio's (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT; 127.0.0.1, the first free from 7860).
        ready: called with one line when the app accepts connections.

    Raises:
        ImportError: if gradio is not installed.
        OSError: if the port is taken.
    """
    place = os.environ.get("GRADIO_TEMP_DIR")
    if place:
        Path(place).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scalenet-demo-", dir=place, ignore_cleanup_errors=True) as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        os.environ.setdefault("MPLBACKEND", "agg")  # not told, gradio's first answer waits for all of pyplot
        try:
            demo = build_demo()
            _, url, _ = demo.launch(
                server_name=host, server_port=port, prevent_thread_lock=True, quiet=True, inbrowser=False
            )
            ready(f"ready at {url} (Ctrl-C ends it)")
            try:
                _wait()
            finally:
                demo.close(verbose=False)
        finally:
            _set("GRADIO_TEMP_DIR", place)
    return url


def _set(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


def _wait() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


def _launcher(launch: Callable[..., Any], networks: Networks, folder: Path) -> Callable[..., Any]:
    """``launch`` with fitting defaults; the first networks are loaded meanwhile."""
    from .app.handlers import warm

    @wraps(launch)
    def with_defaults(*args: Any, **kwargs: Any) -> Any:
        Thread(target=warm, args=[networks]).start()
        return launch(*args, **{**_launch_options(folder), **kwargs})

    return with_defaults


def _theme() -> Any:
    """Gradio's look with texts of a contrast of at least 4.5:1, which its own lack."""
    import gradio as gr

    theme = gr.themes.Default(
        primary_hue="teal",
        neutral_hue="slate",
        font=(gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"),
    )  # the 600 that gradio 6 ships lacks most letters
    subdued = ("body_text_color_subdued", "block_info_text_color", "block_label_text_color", "block_title_text_color",
               "input_placeholder_color")  # fmt: skip
    primary = {"button_primary_background_fill": "*primary_700", "button_primary_background_fill_hover": "*primary_800"}
    return theme.set(
        **{name: "*neutral_600" for name in subdued},
        **{f"{name}_dark": "*neutral_300" for name in subdued},
        **primary,
        **{f"{name}_dark": colour for name, colour in primary.items()},
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


def _launch_options(folder: Path) -> dict[str, Any]:
    from fastapi.exceptions import RequestValidationError
    from starlette.middleware import Middleware

    from .app.uploads import Uploads, malformed, sweeping

    return {
        "theme": _theme(),
        "css_paths": [Path(__file__).parent / "app" / "style.css"],
        "js": (Path(__file__).parent / "app" / "page.js").read_text(),
        "max_file_size": MAX_FILE_SIZE,
        "app_kwargs": {
            "middleware": [Middleware(Uploads, folder)],
            "lifespan": sweeping(folder, *CLEANING),
            "exception_handlers": {RequestValidationError: malformed},
        },
        "share": False,
        "show_error": True,  # one line of what went wrong; never a stack trace
        "ssr_mode": False,
        "run_history": False,
        "footer_links": ["api"],
        "state_session_capacity": 200,  # visitors whose page is remembered, so that memory stays flat
    }
