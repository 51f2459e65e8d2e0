"""Where an object is in every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """Poses over a clip of T frames, float64 [T] each."""

    x: Floats
    """Centre, pixels."""
    y: Floats
    size: Floats
    """Longest side of the upright picture, pixels."""
    angle: Floats
    """Degrees, clockwise as seen."""
    flip: bool = False

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Motion:
    """How a track leaves its resting pose, over the whole clip."""

    dx: float = 0.0
    """Net displacement, pixels."""
    dy: float = 0.0
    grow: float = 1.0
    """Factor of the size."""
    turn: float = 0.0
    """Degrees."""
    bend: float = 0.0
    """Sideways bow of the path, as a fraction of the displacement."""
    ease: float = 0.0
    """0 moves evenly, 1 starts and stops smoothly."""
    pivot: float = 0.5
    """Part of the clip at which the resting pose is reached."""


def make_track(x: float, y: float, size: float, angle: float, flip: bool, motion: Motion, frames: int) -> Track:
    """The track of a resting pose (pixels, degrees) under a motion."""
    t = np.linspace(0, 1, frames) if frames > 1 else np.array([motion.pivot])
    s = (1 - motion.ease) * t + motion.ease * t * t * (3 - 2 * t)
    at = float((1 - motion.ease) * motion.pivot + motion.ease * motion.pivot**2 * (3 - 2 * motion.pivot))
    bow = 4 * s * (1 - s) - 4 * at * (1 - at)
    return Track(
        x=x + motion.dx * (s - at) - motion.dy * motion.bend * bow,
        y=y + motion.dy * (s - at) + motion.dx * motion.bend * bow,
        size=size * motion.grow ** (s - at),
        angle=angle + motion.turn * (s - at),
        flip=flip,
    )
