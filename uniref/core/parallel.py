"""Work beside the main thread: an ordered map over processes, prefetching and background work in threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from uniref.core.errors import UniRefError

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4  # items per process that may be ahead of the consumer
_PATIENCE = 5  # seconds for a thread to finish the item at hand; it is left alone if that hangs


def ordered_map(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R]:
    """`map` over processes: results in the order of the items, at most a few items per process in flight.

    Args:
        work: A module-level function (processes are spawned); its exceptions are raised here, in order.
        items: Taken lazily; each must be picklable.
        workers: Processes; with 1 everything happens in this one.

    Raises:
        UniRefError: A process died (killed, or out of memory).
    """
    if workers <= 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin_worker) as pool:
        yield from pool_map(pool, workers, work, items)


def pool_map(
    pool: ProcessPoolExecutor, workers: int, work: Callable[[T], R], items: Iterable[T], ahead: int = _AHEAD
) -> Generator[R]:
    """`ordered_map` on processes that exist already, at most `ahead` items each in flight."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= workers * ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UniRefError("a worker process died (out of memory?); try fewer --workers") from None
    finally:
        for future in waiting:
            future.cancel()


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_worker() -> None:
    """Initialise a worker process: it ignores Ctrl-C, which the main process handles, and ends when that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # nobody waits for results, and reading the queue would block for ever


class _End:
    """Marks the end of a stream, with the exception that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Iterate in a thread, at most `depth` items ahead. Errors of `items` are raised here, in order."""
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    # the thread: hand over every item, then the end or the error
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

    # the consumer
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


class BackgroundWorker(Generic[T]):
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
            if self._error is None:  # after a failure, items are dropped so that no producer blocks
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001 - handed to the producer
                    self._error = error

    def put(self, item: T) -> None:
        """Hand over an item; blocks while `depth` are waiting. Raises the exception of the work, if any."""
        self._raise()
        self._waiting.put(item)

    def close(self) -> None:
        """Wait until all items are done. Raises the exception of the work, if any."""
        self._waiting.put(_End())
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
