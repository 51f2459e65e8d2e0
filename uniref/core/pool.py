"""The same function over many items on all cores, results in order, in bounded memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from uniref.core.errors import UniRefError

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4  # items a process may be ahead of the consumer


def ordered_map(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R]:
    """`map` over processes: results in the order of the items, at most a few items a process in flight.

    Args:
        work: A module-level function (processes are spawned); its exceptions are raised here, in the item's place.
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


def default_workers() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_worker() -> None:
    """For the first moment of a worker process: the main process alone stops it, and it ends when that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # nobody waits for results, and the queue would never tell
