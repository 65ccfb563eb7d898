"""Uploads on the way in: bounded all together, and nothing stays of those that are cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse

MAX_BYTES = 2_000_000_000  # of all that visitors have here: uploads, those that are coming, results
PATIENCE = 30  # seconds without a byte, after which an upload is over
FULL = "This app holds as many files as it may: try again in a quarter of an hour."
NO_LENGTH = "An upload needs a Content-Length."
MALFORMED = 'The body is JSON of the form {"data": [values]}.'
SLOW = f"Nothing came for {PATIENCE} seconds: upload the file again."


class Uploads:
    """ASGI middleware around the app that bounds what is uploaded.

    Args:
        app: what it wraps.
        folder: gradio's, where a file that is coming is ``tmp…`` and one that is there is in a folder of its own.
    """

    def __init__(self, app: Any, folder: Path) -> None:
        self.app, self.folder, self.coming = app, folder, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand a request on; of an upload, only if there is room, and what was cut off is removed."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].rstrip("/").endswith("/upload"):
            return await self.app(scope, receive, send)
        length = dict(scope["headers"]).get(b"content-length", b"")
        refusal = None
        if not length.isdigit():
            refusal = PlainTextResponse(NO_LENGTH, 411)
        elif used_bytes(self.folder) + self.coming + int(length) > MAX_BYTES:
            refusal = PlainTextResponse(FULL, 503, {"Retry-After": "900"})
        if refusal is not None:
            return await refusal(scope, receive, send)
        self.coming += int(length)
        try:
            await self._take(scope, receive, send)
        finally:
            self.coming -= int(length)
            if not self.coming:
                remove_cut_off(self.folder, 0)

    async def _take(self, scope: Any, receive: Any, send: Any) -> None:
        slow = False

        async def in_time() -> Any:
            nonlocal slow
            try:
                return await asyncio.wait_for(receive(), PATIENCE)
            except TimeoutError:
                slow = True
                return {"type": "http.disconnect"}

        try:
            await self.app(scope, in_time, send)
        except ClientDisconnect:
            if slow:
                await PlainTextResponse(SLOW, 408)(scope, receive, send)


async def malformed(request: Any, error: Exception) -> PlainTextResponse:
    """The answer to a body of another form."""
    return PlainTextResponse(MALFORMED, 422)


def used_bytes(folder: Path) -> int:
    """What the files in a folder weigh, those in its folders too."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total


def remove_cut_off(folder: Path, age: float) -> None:
    """Remove what is left of uploads that no byte was added to for ``age`` seconds."""
    for path in folder.glob("tmp*"):
        with suppress(FileNotFoundError):
            if path.is_file() and time.time() - path.lstat().st_mtime >= age:
                path.unlink()


def remove_empty(folder: Path, age: float) -> None:
    """Remove folders that are empty, and were not touched for ``age`` seconds."""
    for path in folder.glob("*/"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime >= age:
                path.rmdir()  # refuses where there is a file


def sweeping(folder: Path, every: float, age: float) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """The app's lifespan: as long as it runs, what nobody needs is removed."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(remove_cut_off, folder, 2 * PATIENCE)
            await asyncio.to_thread(remove_empty, folder, age)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()

    return lifespan
