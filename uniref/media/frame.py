"""Frames of a source, and the clock that makes their times strictly increasing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from uniref.core.types import UInt8Image

MAX_FRAME_PIXELS = 40_000_000
"""Width times height of a video's frame, of which several are in memory at a time; 8K has 35 million at most."""


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a source."""

    index: int
    """Index in the source, from 0, also if only a part of it is read."""
    name: str
    """Stem of the frame's file, or the index with five digits in a video file."""
    image: UInt8Image
    """RGB, [H, W, 3]."""
    seconds: float
    """Time in seconds at which the frame is shown."""
    duration: float
    """How long it is shown, in seconds."""
    damaged: bool = False
    """The frame cannot be decoded; `image` repeats the one before it (black where there is none)."""

    def lasting_until(self, seconds: float) -> SourceFrame:
        """The same frame, shown until a time."""
        return replace(self, duration=seconds - self.seconds)


LONGEST = 3600.0
"""Most seconds between two frames; more means a broken clock, and is more than MP4 can store in its finest unit."""
_BACKWARDS = 1.0  # seconds by which a clock may go back before it counts as a new clock
_COARSEST = Fraction(1, 1000)
_FINEST = 1_190_000  # units per second: an hour of them is less than 2^32, the most that MP4 can say


class FrameClock:
    """Makes the times of consecutive frames strictly increasing.

    A missing time follows from the frame rate. A frame that is not later than the one before it is put between that one
    and the next. Where the clock jumps back (two recordings in one file) or by more than an hour, time continues from
    there.

    Args:
        interval: Seconds between two frames at the nominal rate.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: float | None = None
        self._shift = 0.0

    def tick(self, seconds: float | None) -> float:
        """Time of the next frame, in seconds, given the container's time (None = missing)."""
        if self._last is None:
            time = seconds if seconds is not None and abs(seconds) < LONGEST else 0.0
            self._shift = 0.0 if seconds is None else time - seconds
        elif seconds is None:
            time = self._last + self._interval
        else:
            time = seconds + self._shift
            if not self._last - _BACKWARDS < time < self._last + LONGEST:
                time = self._last + self._interval
                self._shift = time - seconds
            elif time <= self._last:
                time = self._last + self._interval / 2
        self._last = time
        return time


def writing_base(base: Fraction) -> Fraction:
    """A time base for writing in which every time of `base` is exact and others are off by a millisecond at most."""
    if base.denominator > _FINEST:
        return Fraction(1, 1_000_000)
    return base / max(1, -(-base // _COARSEST))
