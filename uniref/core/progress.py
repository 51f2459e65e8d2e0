"""Showing how far long work is, without knowing where it is shown."""

from __future__ import annotations

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
