"""Visitors of the app who cut off what they send, for tests.faults; ``python -m tests.visitors PORT`` is the app."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx

from scalenet import demo

from .app.test_uploads import begin_upload, files_of
from .small_app import free_port

ROOT = Path(__file__).parents[1]
CLIENTS, LATER = 20, 60  # threads; seconds after which the disk is looked at
CLEANING = (5, 40)  # seconds, in place of the app's (60, 900)
MOST_STALLED = 3  # connections that a visitor leaves open
WAYS = ("whole", "closed", "reset", "stalled")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closed by a reset


class Visitor:
    """One client: uploads that are whole, closed or reset in the middle, or stall.

    Args:
        url: the app's address.
        seed: of what it does.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.url, self.rng = url, random.Random(seed)
        self.did: Counter[str] = Counter()
        self.stalled: list[socket.socket] = []

    def visit(self, until: float) -> None:
        """Upload until a moment of ``time.monotonic``."""
        while time.monotonic() < until:
            way = self.rng.choice(WAYS[: 4 if len(self.stalled) < MOST_STALLED else 3])
            self.did[self._upload(way, self.rng.randrange(10_000, 2_000_000))] += 1

    def _upload(self, way: str, size: int) -> str:
        try:
            if way == "whole":
                files = {"files": ("a.png", self.rng.randbytes(size))}
                answer = httpx.post(f"{self.url}gradio_api/upload", files=files, timeout=60)
                return "whole" if answer.status_code == 200 else f"answered {answer.status_code}"
            connection = begin_upload(self.url, size, self.rng.randrange(size))
        except (OSError, httpx.HTTPError) as e:
            return type(e).__name__
        if way == "stalled":
            self.stalled.append(connection)
        else:
            if way == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.close()
        return way


def visitors(folder: Path, seconds: float, rng: random.Random) -> str:
    """Visitors of the app for so many seconds; a minute later its folder holds what it held before.

    Raises:
        AssertionError: if it does not, or the app ends badly.
    """
    port = free_port()
    env = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "gradio"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "tests.visitors", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=-1, stderr=(folder / "said").open("w"), text=True) as app:
        try:
            line = app.stdout.readline()
            assert "ready at" in line, (folder / "said").read_text()[-600:]
            before = sizes(folder / "gradio")
            did = _all_visit(f"http://127.0.0.1:{port}/", seconds, rng)
            most = sum(sizes(folder / "gradio").values())
            time.sleep(LATER)
            after = sizes(folder / "gradio")
        finally:
            app.send_signal(signal.SIGTERM)
            app.wait(60)
    assert after == before, f"{sum(after.values()) - sum(before.values()):,} bytes more: {[*after.keys() - before][:5]}"
    assert app.returncode == 0 and not sizes(folder / "gradio"), "what the app leaves"
    counts = ", ".join(f"{count} {way}" for way, count in sorted(did.items()))
    return (
        f"{CLIENTS} clients for {seconds} s, uploads: {counts}; the folder held {sum(before.values()):,} bytes before, "
        f"{most:,} at the end, {sum(after.values()):,} {LATER} s later"
    )


def _all_visit(url: str, seconds: float, rng: random.Random) -> Counter[str]:
    """All visitors at once; those who stall wait on."""
    everybody, until = [Visitor(url, rng.randrange(2**32)) for _ in range(CLIENTS)], time.monotonic() + seconds
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda visitor: visitor.visit(until), everybody))
    return sum((visitor.did for visitor in everybody), Counter())


def sizes(folder: Path) -> dict[Path, int]:
    """Bytes of every file in a folder from which some may just vanish."""
    found = {}
    for path in files_of(folder):
        with suppress(FileNotFoundError):
            found[path] = path.lstat().st_size
    return found


if __name__ == "__main__":
    demo.CLEANING = CLEANING
    demo.serve("127.0.0.1", int(sys.argv[1]))
