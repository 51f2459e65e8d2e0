"""What objects are put in front of: patterns and drawn scenery."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from uniref_scenes.backgrounds.patterns import PATTERNS
from uniref_scenes.backgrounds.scenery import SCENERY, SceneryCanvas
from uniref_scenes.types import UInt8Array

HELD_OUT: Mapping[str, frozenset[str]] = {
    "val": frozenset(("waves", "snow")),
    "test": frozenset(("dots", "voronoi", "beach", "playground")),
}
"""Kinds that only one division has."""


@dataclass(frozen=True)
class SceneBackground:
    """An image that objects are put in front of."""

    kind: str
    number: int
    pixels: UInt8Array
    """uint8 RGB [H, W, 3]."""
    horizon: float | None
    """Where the ground begins, as a share of the height; None where there is none."""
    words: tuple[str | None, ...] = ()
    """Words that could refer to something in it: no expression uses them. None: so could "the one on the left"."""


def background_kinds(division: str) -> tuple[list[str], list[str]]:
    """Kinds of patterns and of scenery that a division (`train`, `val` or `test`) may use."""
    others = frozenset().union(*(kinds for name, kinds in HELD_OUT.items() if name != division))
    return [k for k in PATTERNS if k not in others], [k for k in SCENERY if k not in others]


def make_background(kind: str, number: int, h: int, w: int) -> SceneBackground:
    """A background of h x w pixels; the same arguments always give the same pixels."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
    if kind in PATTERNS:
        pixels = PATTERNS[kind](rng, h, w).clip(0, 255).astype(np.uint8)
        return SceneBackground(kind, number, pixels, None)
    paint, words = SCENERY[kind]
    canvas = SceneryCanvas(rng, h, w)
    horizon = paint(canvas)
    return SceneBackground(kind, number, canvas.pixels.clip(0, 255).astype(np.uint8), horizon, words)
