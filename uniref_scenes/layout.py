"""Which objects a scene has, where they are and how they move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from uniref_scenes.backgrounds import Background
from uniref_scenes.nouns import Noun
from uniref_scenes.sprite import Sprite
from uniref_scenes.track import Motion, Track, make_track

Rng = np.random.Generator


@dataclass(frozen=True)
class Thing:
    """A named object in a scene."""

    noun: Noun
    sprite: Sprite
    pattern: str
    track: Track


@dataclass(frozen=True)
class Frame:
    """The picture that things are put into."""

    height: int
    width: int
    length: int
    """Frames; 1 for an image."""

    @property
    def unit(self) -> int:
        """Shorter side."""
        return min(self.height, self.width)


def choose_kinds(
    rng: Rng,
    nouns: list[str],
    colours: Mapping[str, list[str]],
    wanted: list[str],
    usual: Mapping[str, tuple[str, ...]],
) -> list[tuple[str, str]]:
    """Nouns and colour words of 2 to 6 objects, such that words are needed to tell them apart.

    Args:
        rng: Decides.
        nouns: What may be shown.
        colours: Colour words that a noun may be shown in.
        wanted: Nouns that the expressions are about.
        usual: Colour words that a noun mostly comes in.
    """
    first = _pick(rng, wanted)
    plan = rng.random()

    def colour(noun: str) -> str:
        return _colour(rng, usual[noun], colours[noun])

    if plan < 0.28:  # different things
        members = [first, *_others(rng, nouns, {first}, int(rng.integers(1, 5)))]
        return [(noun, colour(noun)) for noun in members]
    if plan < 0.48:  # several of one kind
        return [(first, colour(first)) for _ in range(int(rng.integers(2, 6)))]
    shared = colour(first)
    others = _others(rng, nouns, {first}, int(rng.integers(1, 4)))
    if plan < 0.62:  # one colour on several things
        group = [(noun, shared if shared in colours[noun] else colour(noun)) for noun in others]
        return [(first, shared), *group, (first, _other_colour(rng, shared, colours[first]))]
    twins = [(first, _other_colour(rng, shared, colours[first])) for _ in range(int(rng.integers(1, 3)))]
    same = [(noun, shared) for noun in others[:1] if shared in colours[noun]]
    rest = [(noun, colour(noun)) for noun in others[1:]]
    return [(first, shared), *twins, *same, *rest][:6]


def _pick(rng: Rng, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _others(rng: Rng, nouns: list[str], without: set[str], count: int) -> list[str]:
    left = [noun for noun in nouns if noun not in without]
    return [left[i] for i in rng.choice(len(left), min(count, len(left)), replace=False)]


def _colour(rng: Rng, usual: tuple[str, ...], allowed: list[str]) -> str:
    often = [word for word in usual if word in allowed]
    return _pick(rng, often if often and rng.random() < 0.5 else allowed)


def _other_colour(rng: Rng, colour: str, allowed: list[str]) -> str:
    """Another one, if there is any."""
    return _pick(rng, [word for word in allowed if word != colour] or allowed)


def place(rng: Rng, frame: Frame, ground: Background, members: list[tuple[Noun, Sprite, str]]) -> list[Thing]:
    """Put objects into the picture, far ones first."""
    biggest = (0.55, 0.5, 0.44, 0.38, 0.33, 0.3)[min(len(members), 6) - 1]
    tracks: list[Track] = []
    for noun, sprite, _ in members:
        best, least = None, np.inf
        for _ in range(12):
            track = _track(rng, frame, ground, noun, sprite, biggest)
            overlap = max((_overlap(track, other) for other in tracks), default=0.0)
            if overlap < least:
                best, least = track, overlap
            if overlap < 0.18:
                break
        assert best is not None
        tracks.append(best)
    things = [
        Thing(noun, sprite, pattern, track) for (noun, sprite, pattern), track in zip(members, tracks, strict=True)
    ]
    if ground.horizon is None:
        return things
    return sorted(things, key=_bottom)


def _bottom(thing: Thing) -> float:
    """Where it stands: what stands lower in the picture is nearer."""
    picture = thing.sprite.picture
    return float((thing.track.y + thing.track.size * picture.height / max(picture.size) / 2).mean())


def _overlap(a: Track, b: Track) -> float:
    """Largest part of the smaller one that the other's square covers at the beginning, the middle and the end."""
    worst = 0.0
    for t in {0, len(a) // 2, len(a) - 1}:
        side = min(a.size[t], b.size[t])
        reach = (a.size[t] + b.size[t]) * 0.42
        dx, dy = reach - abs(a.x[t] - b.x[t]), reach - abs(a.y[t] - b.y[t])
        if dx > 0 and dy > 0:
            worst = max(worst, float(min(dx, side) * min(dy, side) / side**2))
    return worst


def _track(rng: Rng, frame: Frame, ground: Background, noun: Noun, sprite: Sprite, biggest: float) -> Track:
    """One possible pose and motion of an object."""
    h, w, unit = frame.height, frame.width, frame.unit
    size = unit * float(rng.uniform(0.16, biggest))
    flip, angle = bool(rng.random() < 0.5), 0.0
    x = float(rng.uniform(0.08, 0.92)) * w
    upright = size * sprite.picture.height / max(sprite.picture.size)
    if ground.horizon is None:
        y = float(rng.uniform(0.12, 0.88)) * h
        if noun.turns and rng.random() < 0.45:
            angle = float(rng.uniform(-40, 40))
        elif rng.random() < 0.2:
            angle = float(rng.uniform(-12, 12))
    elif noun.place == "sky" or (noun.place == "any" and rng.random() < 0.4):
        y = float(rng.uniform(0.1, max(ground.horizon, 0.25))) * h
    else:
        depth = float(rng.uniform(0.08, 0.95))
        foot = ground.horizon + (0.98 - ground.horizon) * depth
        size *= 0.7 + 0.6 * depth
        upright *= 0.7 + 0.6 * depth
        y = foot * h - upright * 0.5
    motion = _motion(rng, frame, noun, ground.horizon is not None and noun.place != "sky")
    if motion.dx and ground.horizon is not None and rng.random() < 0.9:
        flip = motion.dx < 0  # what moves over ground goes forward
    return make_track(x, y, size, angle, flip, motion, frame.length)


def _motion(rng: Rng, frame: Frame, noun: Noun, grounded: bool) -> Motion:
    if frame.length == 1:
        return Motion()
    choice, far = rng.random(), float(rng.uniform(0.2, 0.55)) * frame.width
    ease, pivot = float(rng.uniform(0, 1)), float(rng.choice([0.0, 0.5, 1.0]))
    if choice < 0.27:
        return Motion()
    if choice < 0.37:
        return Motion(grow=float(rng.choice([1.7, 2.0, 0.55, 0.5])), ease=ease, pivot=pivot)
    if choice < 0.45 and noun.turns and not grounded:
        return Motion(turn=float(rng.choice([-1, 1]) * rng.uniform(100, 300)), ease=ease, pivot=pivot)
    if choice < 0.57:  # enters or leaves
        way = float(rng.choice([-1, 1]))
        return Motion(
            dx=way * frame.width * float(rng.uniform(0.8, 1.2)), ease=ease * 0.3, pivot=float(rng.choice([0.0, 1.0]))
        )
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
