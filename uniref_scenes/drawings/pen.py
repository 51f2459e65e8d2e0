"""Drawing filled shapes in a unit square; the object's own colour may be textured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from uniref_scenes.types import RGB, Float64Array, Rng

Point = tuple[float, float]
BODY = None
"""The paint that stands for the object's own colour and pattern."""
Paint = RGB | None


class BodyShade(tuple[int, int, int]):
    """A darker or lighter body colour."""


DARK: RGB = (38, 38, 42)
LIGHT: RGB = (240, 240, 238)
METAL: RGB = (150, 154, 160)
GLASS: RGB = (176, 208, 226)
WOOD: RGB = (112, 70, 36)
SKIN: RGB = (228, 178, 140)
AMBER: RGB = (250, 200, 60)
LEAF: RGB = (62, 140, 58)


class Pen:
    """Draws one object. x goes right and y down, both 0..1.

    Args:
        side: Pixels of the canvas.
        rng: Decides the object's proportions; the same numbers give the same object.
        body: Its main colour.
        texture: RGB image of the canvas' size that fills `BODY`, or None for plain colour.
        trim: A second colour.
    """

    def __init__(self, side: int, rng: Rng, body: RGB, texture: Image.Image | None, trim: RGB) -> None:
        self.side, self.rng, self.body, self.trim = side, rng, body, trim
        self.image = Image.new("RGBA", (side, side))
        self.named = Image.new("L", (side, side))
        """255 where the body colour shows: tyres and windows do not make a car black."""
        self._texture = texture
        self._draw = ImageDraw.Draw(self.image)
        self._name = ImageDraw.Draw(self.named)

    def uniform(self, low: float, high: float) -> float:
        """A random proportion."""
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """A random number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """A random choice."""
        return bool(self.rng.random() < probability)

    def shade(self, factor: float) -> RGB:
        """The body colour, darker (below 1) or lighter."""
        return BodyShade(tint(self.body, factor))

    def poly(self, points: Sequence[Point], paint: Paint = BODY) -> None:
        """A filled polygon."""
        pixels = [(x * self.side, y * self.side) for x, y in points]
        self._fill(lambda draw, fill: draw.polygon(pixels, fill=fill), paint)

    def oval(self, x: float, y: float, rx: float, ry: float | None = None, paint: Paint = BODY) -> None:
        """A filled ellipse around (x, y); a circle where `ry` is missing."""
        bounds = self._bounds(x - rx, y - (ry or rx), x + rx, y + (ry or rx))
        self._fill(lambda draw, fill: draw.ellipse(bounds, fill=fill), paint)

    def box(self, x0: float, y0: float, x1: float, y1: float, paint: Paint = BODY, r: float = 0.0) -> None:
        """A filled rectangle with corners rounded by `r`."""
        bounds = self._bounds(x0, y0, x1, y1)
        radius = min(r, (x1 - x0) / 2, (y1 - y0) / 2) * self.side
        self._fill(lambda draw, fill: draw.rounded_rectangle(bounds, radius, fill=fill), paint)

    def line(self, points: Sequence[Point], width: float, paint: Paint = BODY) -> None:
        """A stroke with round ends."""
        pixels = [(x * self.side, y * self.side) for x, y in points]
        thick = max(1, round(width * self.side))

        def stroke(draw: Any, fill: Any) -> None:
            draw.line(pixels, fill=fill, width=thick, joint="curve")
            for x, y in (pixels[0], pixels[-1]):
                draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=fill)

        self._fill(stroke, paint)

    def arc(
        self, x: float, y: float, rx: float, ry: float, span: tuple[float, float], width: float, paint: Paint = BODY
    ) -> None:
        """A stroke along an ellipse, from and to angles in degrees, clockwise from the right."""
        angles = np.radians(np.linspace(*span, 40))
        self.line([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles.tolist()], width, paint)

    def pie(self, x: float, y: float, rx: float, ry: float, span: tuple[float, float], paint: Paint = BODY) -> None:
        """A sector of an ellipse."""
        bounds = self._bounds(x - rx, y - ry, x + rx, y + ry)
        self._fill(lambda draw, fill: draw.pieslice(bounds, *span, fill=fill), paint)

    def chord(self, x: float, y: float, rx: float, ry: float, span: tuple[float, float], paint: Paint = BODY) -> None:
        """A segment of an ellipse."""
        bounds = self._bounds(x - rx, y - ry, x + rx, y + ry)
        self._fill(lambda draw, fill: draw.chord(bounds, *span, fill=fill), paint)

    def blob(self, points: Sequence[Point], paint: Paint = BODY) -> None:
        """A closed smooth curve through the points (Catmull-Rom), filled."""
        self.poly(smooth(points), paint)

    def star(
        self, x: float, y: float, outer: float, inner: float, tips: int, turn: float = -90.0, paint: Paint = BODY
    ) -> None:
        """A star, or with `inner` = 0 a regular polygon."""
        count = 2 * tips if inner else tips
        radii = [outer, inner] if inner else [outer]
        angles = [math.radians(turn + 360 * k / count) for k in range(count)]
        self.poly(
            [
                (x + radii[k % len(radii)] * math.cos(a), y + radii[k % len(radii)] * math.sin(a))
                for k, a in enumerate(angles)
            ],
            paint,
        )

    def erase(self, x: float, y: float, rx: float, ry: float) -> None:
        """Cut an elliptic hole."""
        self._draw.ellipse(self._bounds(x - rx, y - ry, x + rx, y + ry), fill=(0, 0, 0, 0))
        self._name.ellipse(self._bounds(x - rx, y - ry, x + rx, y + ry), fill=0)

    def _bounds(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        return (x0 * self.side, y0 * self.side, max(x0, x1) * self.side, max(y0, y1) * self.side)

    def _fill(self, shape: Callable[[Any, Any], None], paint: Paint) -> None:
        if paint is not BODY or self._texture is None:
            shape(self._draw, (*(self.body if paint is BODY else paint), 255))
            return
        mask = Image.new("L", self.image.size)
        shape(ImageDraw.Draw(mask), 255)
        self.image.paste(self._texture, mask=mask)


def tint(colour: RGB, factor: float) -> RGB:
    """A colour times a factor; above 1 it goes to white."""
    if factor <= 1:
        return (round(colour[0] * factor), round(colour[1] * factor), round(colour[2] * factor))
    t = min(factor - 1, 1.0)
    red, green, blue = (round(c + (255 - c) * t) for c in colour)
    return red, green, blue


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Points of the closed Catmull-Rom curve through `points`."""
    p: Float64Array = np.asarray(points, float)
    before, after, later = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - later) * t**2
        + (3 * p - before - 3 * after + later) * t**3
    )
    return [(float(x), float(y)) for x, y in curve.transpose(1, 0, 2).reshape(-1, 2)]
