"""Plain shapes."""

from __future__ import annotations

import math

from uniref_scenes.drawings.pen import Pen, Point


def circle(p: Pen) -> None:
    """A disc."""
    p.oval(0.5, 0.5, 0.48)


def oval(p: Pen) -> None:
    """An ellipse, clearly longer than wide."""
    p.oval(0.5, 0.5, 0.48, p.uniform(0.24, 0.32))


def square(p: Pen) -> None:
    """Sharp or slightly rounded corners."""
    p.box(0.06, 0.06, 0.94, 0.94, r=p.uniform(0, 0.08))


def rectangle(p: Pen) -> None:
    """At least 1.7 times as long as wide."""
    h = p.uniform(0.18, 0.28)
    p.box(0.02, 0.5 - h, 0.98, 0.5 + h, r=p.uniform(0, 0.05))


def triangle(p: Pen) -> None:
    """One side at the bottom."""
    p.poly([(p.uniform(0.35, 0.65), 0.06), (0.97, 0.9), (0.03, 0.9)])


def star(p: Pen) -> None:
    """Five or six tips."""
    p.star(0.5, 0.52, 0.49, p.uniform(0.2, 0.27), p.integer(5, 6))


def heart(p: Pen) -> None:
    """Two lobes and a tip."""
    w = p.uniform(0.027, 0.03)
    angles = [2 * math.pi * k / 60 for k in range(60)]
    points: list[Point] = [
        (
            0.5 + w * 16 * math.sin(a) ** 3,
            0.46 - 0.028 * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)),
        )
        for a in angles
    ]
    p.poly(points)


def diamond(p: Pen) -> None:
    """A rhombus on its tip."""
    w = p.uniform(0.28, 0.36)
    p.poly([(0.5, 0.02), (0.5 + w, 0.5), (0.5, 0.98), (0.5 - w, 0.5)])


def hexagon(p: Pen) -> None:
    """Six equal sides."""
    p.star(0.5, 0.5, 0.48, 0, 6, 0 if p.chance(0.5) else 30)


def cross(p: Pen) -> None:
    """Two equal bars."""
    t = p.uniform(0.1, 0.16)
    p.box(0.5 - t, 0.04, 0.5 + t, 0.96)
    p.box(0.04, 0.5 - t, 0.96, 0.5 + t)


def ring(p: Pen) -> None:
    """A disc with a hole."""
    hole = p.uniform(0.22, 0.3)
    p.oval(0.5, 0.5, 0.48)
    p.erase(0.5, 0.5, hole, hole)


def arrow(p: Pen) -> None:
    """Pointing right."""
    t, head = p.uniform(0.09, 0.14), p.uniform(0.5, 0.62)
    p.poly(
        [(0.02, 0.5 - t), (head, 0.5 - t), (head, 0.18), (0.98, 0.5), (head, 0.82), (head, 0.5 + t), (0.02, 0.5 + t)]
    )


def crescent(p: Pen) -> None:
    """A waxing moon."""
    p.oval(0.5, 0.5, 0.48)
    p.erase(p.uniform(0.66, 0.74), 0.44, 0.4, 0.4)


DRAWINGS = {
    f.__name__: f
    for f in (circle, oval, square, rectangle, triangle, star, heart, diamond, hexagon, cross, ring, arrow, crescent)
}
