"""Being asked to stop: the step is finished and the state saved. A second Ctrl-C stops at once; other signals may come
several times (a launcher passes on what its processes got anyway) and ask for the same."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


class Stop:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal = 0

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
            if number == signal.SIGINT and callable(before[number]):
                before[number](number, frame)
            return
        stop.signal = number
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
