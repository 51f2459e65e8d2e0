"""Where a scene's objects are and how they move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uniref_scenes.backgrounds import SceneBackground
from uniref_scenes.language import Noun
from uniref_scenes.sprite import Sprite
from uniref_scenes.types import Float64Array, Rng

_BIGGEST = (0.55, 0.5, 0.44, 0.38, 0.33, 0.3)  # size of 1 to 6 objects, of the image's shorter side
_PROPOSALS, _SMALL_OVERLAP = 12, 0.18


@dataclass(frozen=True)
class Trajectory:
    """Poses of an object over T frames, float64 [T] each."""

    x: Float64Array
    """Centre, pixels."""
    y: Float64Array
    size: Float64Array
    """Longest side of the upright image, pixels."""
    angle: Float64Array
    """Degrees, clockwise as seen."""
    flip: bool = False
    """Whether it is mirrored."""

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Motion:
    """How a trajectory leaves its resting pose, over the whole video."""

    dx: float = 0.0
    """Net displacement, pixels."""
    dy: float = 0.0
    grow: float = 1.0
    """Factor of the size."""
    turn: float = 0.0
    """Degrees."""
    bend: float = 0.0
    """Sideways bow of the path, as a share of the displacement."""
    ease: float = 0.0
    """0 moves evenly, 1 starts and stops smoothly."""
    pivot: float = 0.5
    """Time at which the resting pose is reached, 0..1."""


def make_trajectory(
    x: float, y: float, size: float, angle: float, flip: bool, motion: Motion, frames: int
) -> Trajectory:
    """The trajectory of a resting pose (pixels, degrees) under a motion."""
    # progress along the path, and what of it lies before the resting pose
    t = np.linspace(0, 1, frames) if frames > 1 else np.array([motion.pivot])
    s = (1 - motion.ease) * t + motion.ease * t * t * (3 - 2 * t)
    at = float((1 - motion.ease) * motion.pivot + motion.ease * motion.pivot**2 * (3 - 2 * motion.pivot))
    bow = 4 * s * (1 - s) - 4 * at * (1 - at)
    return Trajectory(
        x=x + motion.dx * (s - at) - motion.dy * motion.bend * bow,
        y=y + motion.dy * (s - at) + motion.dx * motion.bend * bow,
        size=size * motion.grow ** (s - at),
        angle=angle + motion.turn * (s - at),
        flip=flip,
    )


@dataclass(frozen=True)
class SceneObject:
    """A named object in a scene."""

    noun: Noun
    sprite: Sprite
    pattern: str
    """One of `drawings.appearance.PATTERNS`, or `unknown`."""
    trajectory: Trajectory


@dataclass(frozen=True)
class SceneShape:
    """Size of a scene, pixels and frames."""

    height: int
    width: int
    num_frames: int
    """1 for an image."""

    @property
    def unit(self) -> int:
        """Shorter side, pixels."""
        return min(self.height, self.width)


def place_objects(
    rng: Rng, shape: SceneShape, background: SceneBackground, sprites: list[tuple[Noun, Sprite, str]]
) -> list[SceneObject]:
    """Place objects in a scene and let them move.

    Args:
        rng: Decides.
        shape: Size of the scene.
        background: With a horizon, objects stand on the ground or are in the sky.
        sprites: Noun, sprite and pattern of each object.

    Returns:
        The objects; in front of a background with a horizon the furthest first, else in the order of `sprites`.
    """
    # of several proposals the one that overlaps least with the objects that are there already
    biggest = _BIGGEST[min(len(sprites), len(_BIGGEST)) - 1]
    trajectories: list[Trajectory] = []
    for noun, sprite, _ in sprites:
        best, least = None, np.inf
        for _ in range(_PROPOSALS):
            trajectory = _propose_trajectory(rng, shape, background, noun, sprite, biggest)
            overlap = max((_overlap(trajectory, other) for other in trajectories), default=0.0)
            if overlap < least:
                best, least = trajectory, overlap
            if overlap < _SMALL_OVERLAP:
                break
        assert best is not None
        trajectories.append(best)
    objects = [
        SceneObject(noun, sprite, pattern, trajectory)
        for (noun, sprite, pattern), trajectory in zip(sprites, trajectories, strict=True)
    ]
    # what stands lower in the image is nearer
    if background.horizon is None:
        return objects
    return sorted(objects, key=_bottom)


def _bottom(obj: SceneObject) -> float:
    """Mean height at which it stands, pixels from the top."""
    image = obj.sprite.image
    return float((obj.trajectory.y + obj.trajectory.size * image.height / max(image.size) / 2).mean())


def _overlap(a: Trajectory, b: Trajectory) -> float:
    """Largest share of the smaller one that the other's square covers, at the beginning, the middle and the end."""
    worst = 0.0
    for t in {0, len(a) // 2, len(a) - 1}:
        side = min(a.size[t], b.size[t])
        reach = (a.size[t] + b.size[t]) * 0.42
        dx, dy = reach - abs(a.x[t] - b.x[t]), reach - abs(a.y[t] - b.y[t])
        if dx > 0 and dy > 0:
            worst = max(worst, float(min(dx, side) * min(dy, side) / side**2))
    return worst


def _propose_trajectory(
    rng: Rng, shape: SceneShape, background: SceneBackground, noun: Noun, sprite: Sprite, biggest: float
) -> Trajectory:
    """One possible pose and motion of an object; its longest side is at most `biggest` shorter sides of the image."""
    h, w = shape.height, shape.width
    size = shape.unit * float(rng.uniform(0.16, biggest))
    flip, angle = bool(rng.random() < 0.5), 0.0
    x = float(rng.uniform(0.08, 0.92)) * w
    upright = size * sprite.image.height / max(sprite.image.size)
    # anywhere on a pattern, perhaps turned
    if background.horizon is None:
        y = float(rng.uniform(0.12, 0.88)) * h
        if noun.turns and rng.random() < 0.45:
            angle = float(rng.uniform(-40, 40))
        elif rng.random() < 0.2:
            angle = float(rng.uniform(-12, 12))
    # in the sky
    elif noun.setting == "sky" or (noun.setting == "any" and rng.random() < 0.4):
        y = float(rng.uniform(0.1, max(background.horizon, 0.25))) * h
    # on the ground: what is nearer is lower and larger
    else:
        depth = float(rng.uniform(0.08, 0.95))
        foot = background.horizon + (0.98 - background.horizon) * depth
        size *= 0.7 + 0.6 * depth
        upright *= 0.7 + 0.6 * depth
        y = foot * h - upright * 0.5
    # what moves in scenery faces where it goes
    motion = _choose_motion(rng, shape, noun, background.horizon is not None and noun.setting != "sky")
    if motion.dx and background.horizon is not None and rng.random() < 0.9:
        flip = motion.dx < 0
    return make_trajectory(x, y, size, angle, flip, motion, shape.num_frames)


def _choose_motion(rng: Rng, shape: SceneShape, noun: Noun, grounded: bool) -> Motion:
    """How an object moves; `grounded` where it stands on the ground, on which it moves horizontally."""
    if shape.num_frames == 1:
        return Motion()
    choice, far = rng.random(), float(rng.uniform(0.2, 0.55)) * shape.width
    ease, pivot = float(rng.uniform(0, 1)), float(rng.choice([0.0, 0.5, 1.0]))
    # stays, grows or shrinks, rotates
    if choice < 0.27:
        return Motion()
    if choice < 0.37:
        return Motion(grow=float(rng.choice([1.7, 2.0, 0.55, 0.5])), ease=ease, pivot=pivot)
    if choice < 0.45 and noun.turns and not grounded:
        return Motion(turn=float(rng.choice([-1, 1]) * rng.uniform(100, 300)), ease=ease, pivot=pivot)
    # enters or leaves
    if choice < 0.57:
        way = float(rng.choice([-1, 1]))
        return Motion(
            dx=way * shape.width * float(rng.uniform(0.8, 1.2)), ease=ease * 0.3, pivot=float(rng.choice([0.0, 1.0]))
        )
    # goes somewhere
    level = grounded or rng.random() < 0.5
    a = 0.0 if level else float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.4 else np.pi / 2
    way = float(rng.choice([-1, 1]))
    bend = 0.0 if grounded else float(rng.uniform(-0.25, 0.25))
    return Motion(
        dx=way * far * float(np.cos(a)),
        dy=way * far * float(np.sin(a)),
        bend=bend,
        ease=ease,
        pivot=pivot,
        grow=float(rng.uniform(0.9, 1.1)),
    )
