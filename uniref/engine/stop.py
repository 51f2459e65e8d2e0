"""Being asked to stop: the step is finished and the state saved. A second Ctrl-C stops at once.

A launcher passes on what its processes got anyway, so that one Ctrl-C comes twice within a moment; other signals may
come as often as they like.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")
_MOMENT = 1.0  # seconds


class Stop:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal = 0
        self.asked = 0.0
        """When, by the monotonic clock."""

    @property
    def requested(self) -> bool:
        """Whether to stop after this step."""
        return self.signal != 0


@contextlib.contextmanager
def catch_signals(say: Callable[[str], None]) -> Iterator[Stop]:
    """A block in which SIGINT, SIGTERM and SIGUSR1 (a cluster's early warning) ask for a stop.

    Args:
        say: Told once what will happen.
    """
    stop = Stop()
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            again = number == signal.SIGINT and time.monotonic() - stop.asked > _MOMENT
            if again and callable(before[number]):
                before[number](number, frame)
            return
        stop.signal, stop.asked = number, time.monotonic()
        say("finishing the step, then saving the state (Ctrl-C: stop at once)")

    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            if hasattr(signal, name):
                number = getattr(signal, name)
                before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
