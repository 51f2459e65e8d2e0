"""Signals: raised as an exception, or taken as a request to stop after the current step."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any


class SignalReceived(BaseException):
    """A signal as an exception, so that files are closed and temporary ones removed; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_on_signals() -> None:
    """Let SIGTERM and SIGINT raise `SignalReceived` from here on; without effect outside the main thread."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise SignalReceived(number)

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)


def convert_to_sigterm(number: int) -> None:
    """Let a signal act as SIGTERM from here on, for example a cluster's early warning."""
    signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


class StopRequest:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal = 0
        """Number of the first signal; 0 = none."""
        self.time = 0.0
        """When it came, by the monotonic clock."""

    @property
    def requested(self) -> bool:
        """Whether to stop after the current step."""
        return self.signal != 0

    @property
    def age(self) -> float:
        """Seconds since the first signal."""
        return time.monotonic() - self.time

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it."""
        return 128 + self.signal


@contextlib.contextmanager
def stop_on_signals(
    names: Sequence[str] = ("SIGINT", "SIGTERM"),
    on_request: Callable[[], None] = lambda: None,
    acts_at_once: Callable[[StopRequest, int], bool] = lambda request, number: True,
    before_acting: Callable[[], None] = lambda: None,
) -> Iterator[StopRequest]:
    """A block in which a first signal is a request to stop, and later ones may act at once.

    Outside the main thread, where Python allows no handlers, nothing is caught.

    Args:
        names: Signals that are caught; those that the system does not have are left out.
        on_request: Called once, at the first signal.
        acts_at_once: Whether a later signal, by its number, gets to the handler that was there before the block.
        before_acting: Called before that.
    """
    request = StopRequest()
    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        if not request.requested:
            request.signal, request.time = number, time.monotonic()
            on_request()
        elif callable(previous[number]) and acts_at_once(request, number):
            before_acting()
            previous[number](number, frame)

    try:
        for name in names:
            if hasattr(signal, name):
                number = getattr(signal, name)
                with contextlib.suppress(ValueError):  # not in the main thread
                    previous[number] = signal.signal(number, handle)
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
