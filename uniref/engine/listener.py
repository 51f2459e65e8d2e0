"""Where a training's words go: the command line, a test, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Meter(Protocol):
    """A bar, or lines, that show how far a stage is."""

    def show(self, done: int, facts: Mapping[str, str], line: str) -> None:
        """After some steps: how many are done, what a bar shows beside itself, and the same as a line."""

    def close(self) -> None:
        """The stage is over."""


class Listener(Protocol):
    """Where a training's words go."""

    def say(self, line: str) -> None:
        """For people."""

    def warn(self, line: str) -> None:
        """For people, in any case."""

    def result(self, record: dict[str, Any]) -> None:
        """For programs."""

    def meter(self, what: str, total: int, done: int) -> Meter:
        """Begin to show a stage."""


class Silent:
    """A listener that says nothing: of the processes that are not the main one."""

    def say(self, line: str) -> None:
        """Nothing."""

    def warn(self, line: str) -> None:
        """Nothing."""

    def result(self, record: dict[str, Any]) -> None:
        """Nothing."""

    def meter(self, what: str, total: int, done: int) -> Meter:
        """One that shows nothing."""
        return _NoMeter()


class _NoMeter:
    def show(self, done: int, facts: Mapping[str, str], line: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
