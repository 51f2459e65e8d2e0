"""What can be measured of a scene's objects: the ground on which expressions are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from uniref_scenes.layout import Frame, Thing
from uniref_scenes.nouns import Noun

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """One object, over T frames."""

    noun: Noun
    colour: str | None
    """The basic colour word that is said of it."""
    colours: frozenset[str]
    """Words that someone might say."""
    pattern: str
    """One of `sprite.PATTERNS`, or `unknown`."""
    area: Floats
    """Visible pixels, [T]."""
    shown: Floats
    """Visible part of the whole object, 0..1, [T]."""
    x: Floats
    """Centre of the visible part's box, pixels, [T]; NaN where nothing is visible."""
    y: Floats
    box: Floats
    """Of the visible part, x0 y0 x1 y1, [T, 4]; NaN."""
    path: Floats
    """Centre of the whole object, seen or not, [T, 2]."""
    size: Floats
    """Of the whole object, pixels, [T]."""
    angle: Floats
    """Degrees, [T]."""

    @cached_property
    def always(self) -> bool:
        """Whether it is visible in every frame."""
        return bool(self.visible.all())

    @cached_property
    def visible(self) -> npt.NDArray[np.bool_]:
        """Frames in which enough of it can be seen to speak of it."""
        return (self.area >= 40) & (self.shown >= 0.1)


def measure_scene(frame: Frame, things: Sequence[Thing], labels: Sequence[npt.NDArray[np.uint8]]) -> list[Facts]:
    """Facts of every object, from the label maps and tracks."""
    count = len(things)
    area = np.stack([np.bincount(label.ravel(), minlength=count + 1)[1 : count + 1] for label in labels], 1).astype(
        float
    )
    return [_facts(frame, thing, number, area[number], labels) for number, thing in enumerate(things)]


def _facts(frame: Frame, thing: Thing, number: int, area: Floats, labels: Sequence[npt.NDArray[np.uint8]]) -> Facts:
    track, sprite = thing.track, thing.sprite
    solid_pixels = int((np.asarray(sprite.picture.getchannel("A")) >= 128).sum())
    whole = solid_pixels * (track.size / max(sprite.picture.size)) ** 2
    box = np.stack([_box(label == number + 1) if area[t] else np.full(4, np.nan) for t, label in enumerate(labels)])
    return Facts(
        noun=thing.noun,
        colour=sprite.colour,
        colours=frozenset(word for word in sprite.body.possible if sprite.could_be(word)),
        pattern=thing.pattern,
        area=area,
        shown=np.minimum(area / np.maximum(whole, 1), 1),
        x=(box[:, 0] + box[:, 2]) / 2,
        y=(box[:, 1] + box[:, 3]) / 2,
        box=box,
        path=np.stack([track.x, track.y], -1),
        size=track.size,
        angle=track.angle,
    )


def _box(mask: npt.NDArray[np.bool_]) -> Floats:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], float)
