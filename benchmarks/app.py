"""The app: seconds until it is ready, seconds from a 480x640 image to its result, many people at once.

``python -m benchmarks.app [--people 20] [--seconds 120]``. The app runs in a process of its own, as ``scalenet demo``
starts it. Memory is what is resident in that process, after a quarter of the time and at the end.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import Measurement, show
from benchmarks._process import resident_mb

PATIENCE = 180  # seconds until an app that does not answer counts as broken
RUNS = 5


@contextmanager
def served() -> Iterator[tuple[str, int, float]]:
    """A running app: its address, process id, and the seconds until it answered."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started = time.perf_counter()
    command = [sys.executable, "-m", "scalenet.cli", "demo", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}/"
            wait(url, process)
            yield url, process.pid, time.perf_counter() - started
        finally:
            process.terminate()


def wait(url: str, process: subprocess.Popen) -> None:
    """Until the page can be had."""
    deadline = time.perf_counter() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError("the app did not start") from None
            time.sleep(0.05)


def photograph(folder: str) -> Path:
    """scikit-learn's china.jpg at 480x640, as a file."""
    from PIL import Image

    from scalenet.data.samples import sample_photograph

    path = Path(folder) / "china_480x640.jpg"
    Image.open(sample_photograph()).resize((640, 480)).save(path, quality=95)
    return path


class People:
    """Visitors who send one image after the other until the time is over."""

    def __init__(self, url: str, image: Path, folder: str) -> None:
        self.url, self.image, self.folder = url, image, folder
        self.times: list[float] = []
        self.errors: list[str] = []

    def ask(self, client: object) -> float:
        """Seconds from an image to its result."""
        from gradio_client import handle_file

        started = time.perf_counter()
        client.predict(handle_file(str(self.image)), api_name="/segment")
        return time.perf_counter() - started

    def connect(self) -> object:
        """One visitor's connection."""
        from gradio_client import Client

        return Client(self.url, verbose=False, download_files=self.folder)

    def visit(self, deadline: float) -> None:
        """One visitor's stay."""
        try:
            client = self.connect()
            while time.perf_counter() < deadline:
                self.times.append(self.ask(client))
        except Exception as e:  # whatever it is, it is counted
            self.errors.append(repr(e))


def crowd(people: People, pid: int, number: int, seconds: float) -> tuple[float, float]:
    """Let many people come at once; resident MB after a quarter of the time and at the end."""
    deadline = time.perf_counter() + seconds
    threads = [threading.Thread(target=people.visit, args=(deadline,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 4)
    early = resident_mb(pid)
    for thread in threads:
        thread.join()
    return early, resident_mb(pid)


def measure(argv: list[str]) -> list[Measurement]:
    """Start once, ask alone, then with many."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.app")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    args = parser.parse_args(argv)
    with served() as (url, pid, ready), tempfile.TemporaryDirectory() as folder:
        alone = People(url, photograph(folder), folder)
        client = alone.connect()
        first, *more = (alone.ask(client) for _ in range(1 + RUNS))
        people = People(url, alone.image, folder)
        early, late = crowd(people, pid, args.people, args.seconds)
    for error in people.errors[:3]:
        print(error, file=sys.stderr)
    crowded = f"app: {args.people} people for {args.seconds:g} s"
    return [
        Measurement("app: start until the page can be had", ready, "s", at_most=12),
        Measurement("app: first 480x640 image to result", first, "s", at_most=1),
        Measurement(f"app: median of {RUNS} more", statistics.median(more), "s", at_most=1),
        Measurement(f"{crowded}: errors", len(people.errors), "", at_most=0),
        Measurement(f"{crowded}: results", len(people.times), ""),
        Measurement(f"{crowded}: median to result", statistics.median(people.times or [0.0]), "s"),
        Measurement(f"{crowded}: resident at the end", late, "MB"),
        Measurement(f"{crowded}: growth after a quarter", late - early, "MB", at_most=60),
    ]


if __name__ == "__main__":
    show(measure)
