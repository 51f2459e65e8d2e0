"""Work beside the main thread with a bounded number of items in flight."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE = 5  # seconds for a thread to finish the item at hand; it is left alone if that hangs


class _End:
    """Marks the end of a stream, with the exception that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Iterate in a thread, at most `depth` items ahead. Errors of `items` arrive here, in their place."""
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | _End) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the consumer
            put(_End(error))
        else:
            put(_End())

    thread = threading.Thread(target=work, name="uniref-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join(_PATIENCE)


class Background(Generic[T]):
    """Calls a function on items in a thread, in order, at most `depth` waiting.

    Args:
        work: Called with each item. Its first exception stops the thread and is raised by the next `put` or by
            `close`.
        depth: Items that may wait before `put` blocks.
    """

    def __init__(self, work: Callable[[T], None], depth: int = 2) -> None:
        self._work = work
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="uniref-background", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, _End):
                return
            if self._error is None:  # after a failure, items are only taken so that nobody blocks
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001 - handed to the producer
                    self._error = error

    def put(self, item: T) -> None:
        """Hand over an item; blocks while `depth` are waiting. Raises what the work raised."""
        self._raise()
        self._waiting.put(item)

    def close(self) -> None:
        """Wait until everything handed over is done. Raises what the work raised."""
        self._waiting.put(_End())
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
