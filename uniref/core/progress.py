"""Showing how far long work is, without knowing where it is shown."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Shows how far a loop is; `Console.progress` is one."""

    def __call__(self, items: Iterable[T], description: str, total: int | None, unit: str = ...) -> Generator[T]:
        """Pass `items` through, unchanged and in order.

        Args:
            items: What is iterated over.
            description: Text beside the bar.
            total: Number of items; None where it is not known.
            unit: What one item is: "frame", "file".
        """
        ...


def silent(items: Iterable[T], description: str, total: int | None, unit: str = "") -> Generator[T]:
    """A `Progress` that shows nothing."""
    yield from items


def terminal_progress(items: Iterable[T], description: str, total: int | None, unit: str = "") -> Generator[T]:
    """A `Progress` that is a bar where stderr is a terminal, and shows nothing elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True, file=sys.stderr)
    else:
        yield from items
