"""A picture with its place in a source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

MAX_FRAME_PIXELS = 40_000_000
"""Width times height of a video's frame, of which several are in memory at a time; 8K has 35 million at most."""


@dataclass(frozen=True)
class SourceFrame:
    """One picture of a source."""

    index: int
    """Position in the source, from 0, whatever part of it is read."""
    name: str
    """Stem of the frame's file, or the index with five digits in a video file."""
    image: npt.NDArray[np.uint8]
    """RGB, [H, W, 3]."""
    seconds: float
    """When the frame is shown."""
    duration: float
    """How long it is shown, in seconds."""
    damaged: bool = False
    """The frame cannot be decoded; `image` repeats the one before it (black where there is none)."""

    def lasting_until(self, seconds: float) -> SourceFrame:
        """The same frame, shown until a time."""
        return replace(self, duration=seconds - self.seconds)
