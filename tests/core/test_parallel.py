import os
import threading
import time
from collections.abc import Iterator

import pytest

from uniref.core.errors import UniRefError
from uniref.core.parallel import BackgroundWorker, ordered_map, prefetch


def slow_square(number: int) -> int:
    if number < 0:
        os._exit(7)
    return number * number


def test_results_come_in_order_and_items_lazily() -> None:
    taken = []

    def items() -> object:
        for number in range(40):
            taken.append(number)
            yield number

    results = ordered_map(slow_square, items(), 2)  # type: ignore[arg-type]
    assert next(results) == 0
    assert len(taken) <= 9
    assert list(results) == [number * number for number in range(1, 40)]


def test_a_worker_that_dies_is_told() -> None:
    with pytest.raises(UniRefError, match="a worker process died"):
        list(ordered_map(slow_square, [1, -1, 2], 2))


def test_one_process_is_this_one() -> None:
    assert list(ordered_map(lambda number: (number, os.getpid()), [3], 1)) == [(3, os.getpid())]


def test_prefetch_keeps_order_and_bounds_what_is_in_flight() -> None:
    made = []

    def numbers() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    seen = []
    for i in prefetch(numbers(), depth=2):
        seen.append(i)
        time.sleep(0.002)
        assert len(made) - len(seen) <= 4
    assert seen == list(range(20))


def test_prefetch_hands_over_the_error_in_its_place() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = prefetch(numbers())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_prefetch_ends_its_thread_when_abandoned() -> None:
    stream = prefetch(iter(range(1000)), depth=1)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "uniref-prefetch" for thread in threading.enumerate())


def test_background_works_in_order_and_raises_on_close() -> None:
    done: list[int] = []
    worker: BackgroundWorker[int] = BackgroundWorker(done.append)
    for i in range(10):
        worker.put(i)
    worker.close()
    assert done == list(range(10))

    def fail(item: int) -> None:
        raise OSError("disk full")

    broken: BackgroundWorker[int] = BackgroundWorker(fail)
    with pytest.raises(OSError, match="disk full"):
        for i in range(50):
            broken.put(i)
        broken.close()
