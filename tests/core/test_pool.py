"""Work on several processes."""

from __future__ import annotations

import os

import pytest

from uniref.core.errors import UniRefError
from uniref.core.pool import ordered_map


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
