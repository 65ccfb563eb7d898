"""Threads that work ahead or behind, each with a bounded queue between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
WAIT = 0.05  # seconds after which a waiting side looks whether the other has ended


def ahead(items: Iterable[T], size: int) -> Generator[T]:
    """The items in order, made in a thread up to ``size`` items (and the one it holds) before they are taken.

    What the thread raises is raised here. Closing the iterator ends the thread and closes ``items`` in it.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(size)
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        while True:
            try:
                item, error = ready.get(timeout=WAIT)
            except queue.Empty:
                continue
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
            del item  # not held while the next one is waited for
    finally:
        stop.set()
        thread.join()


def _fill(items: Iterable[Any], ready: queue.Queue, stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(ready, (item, None), stop):
                return
            del item
        _put(ready, (None, StopIteration()), stop)
    except BaseException as e:
        _put(ready, (None, e), stop)
    finally:
        if hasattr(items, "close"):
            items.close()


def _put(ready: queue.Queue, entry: tuple[Any, BaseException | None], stop: threading.Event) -> bool:
    while not stop.is_set():
        with suppress(queue.Full):
            ready.put(entry, timeout=WAIT)
            return True
    return False


def neighbours(items: Iterable[T], most: int, kind: Callable[[T], Any]) -> Iterator[list[T]]:
    """Lists of up to ``most`` neighbouring items of one kind."""
    group: list[T] = []
    for item in items:
        if group and kind(group[0]) != kind(item):
            yield group
            group = []
        group.append(item)
        if len(group) == most:  # not an item more is taken before these are given back
            yield group
            group = []
    if group:
        yield group


def prefetch(work: Callable[[T], R], items: Iterable[T], ahead: bool = True) -> Iterator[tuple[T, R]]:
    """Each item and ``work(item)``, in order; a thread works on the next item while the caller uses this one.

    The items are taken in the caller's thread, each before the one ahead of it is given back. Not ``ahead``: nothing is
    taken or done before the caller asks for it, and there is no thread.
    """
    if not ahead:
        yield from ((item, work(item)) for item in items)
        return
    before: tuple[T, Future[R]] | None = None
    with ThreadPoolExecutor(1, "ahead") as thread:
        for item in items:
            begun = item, thread.submit(work, item)
            if before is not None:
                yield before[0], before[1].result()
            before = begun
        if before is not None:
            yield before[0], before[1].result()


class Behind:
    """Does ``work(item)`` for every item put, in order, in a thread; for a ``with`` block.

    A block that ends well, or by Ctrl-C, lets the thread do what was put and then ``last()``, however often Ctrl-C is
    pressed meanwhile. After any other error what waits is dropped and ``last`` is not called.

    Args:
        size: items that may wait; ``put`` blocks while there are more.
        last: called in the thread when all is done.

    Raises:
        Whatever ``work`` or ``last`` raises, from the next ``put`` or the end of the block.
    """

    def __init__(self, work: Callable[[Any], None], size: int, last: Callable[[], None]) -> None:
        self._work, self._last = work, last
        self._queue: queue.Queue[Any] = queue.Queue(size)
        self._ended, self._dropped = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def put(self, item: Any) -> None:
        """Hand an item over."""
        while self._error is None:
            with suppress(queue.Full):
                return self._queue.put(item, timeout=WAIT)
        raise self._error

    def _run(self) -> None:
        try:
            while not self._dropped.is_set():
                try:
                    item = self._queue.get(timeout=WAIT)
                except queue.Empty:
                    if self._ended.is_set():
                        return self._last()
                    continue
                self._work(item)
                del item
        except BaseException as e:
            self._error = e

    def __enter__(self) -> Behind:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, KeyboardInterrupt):
            self._dropped.set()
        self._ended.set()
        while self._thread.is_alive():
            with suppress(KeyboardInterrupt):
                self._thread.join(WAIT)
        if self._error is not None and error is not self._error:
            raise self._error
