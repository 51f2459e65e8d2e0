import threading
import time
from collections.abc import Iterator

import pytest

from uniref.core.threads import Background, prefetch


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
    worker: Background[int] = Background(done.append)
    for i in range(10):
        worker.put(i)
    worker.close()
    assert done == list(range(10))

    def fail(item: int) -> None:
        raise OSError("disk full")

    broken: Background[int] = Background(fail)
    with pytest.raises(OSError, match="disk full"):
        for i in range(50):
            broken.put(i)
        broken.close()
