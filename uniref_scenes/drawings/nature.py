"""Plants, sky and landscape."""

from __future__ import annotations

import math

from uniref_scenes.drawings.pen import DARK, LEAF, LIGHT, WOOD, Pen, Point


def tree(p: Pen) -> None:
    """A broad-leaved tree."""
    w, crown = p.uniform(0.05, 0.08), p.uniform(0.58, 0.68)
    p.poly([(0.5 - w * 1.3, 0.99), (0.5 - w * 0.7, 0.5), (0.5 + w * 0.7, 0.5), (0.5 + w * 1.3, 0.99)], WOOD)
    kind = p.integer(0, 2)
    if kind == 0:
        p.oval(0.5, crown / 2 + 0.01, p.uniform(0.3, 0.4), crown / 2)
        return
    count = p.integer(6, 9)
    p.oval(0.5, crown / 2, 0.26, crown * 0.36)
    for k in range(count):
        a = 2 * math.pi * k / count
        p.oval(0.5 + 0.25 * math.cos(a), crown / 2 + crown * 0.3 * math.sin(a), p.uniform(0.12, 0.17))
    for _ in range(kind * 3):
        p.oval(p.uniform(0.25, 0.75), p.uniform(0.1, crown - 0.1), 0.028, paint=p.shade(0.75))


def pine(p: Pen) -> None:
    """A conifer of stacked triangles."""
    p.box(0.46, 0.8, 0.54, 0.99, WOOD)
    layers, w = p.integer(3, 4), p.uniform(0.26, 0.36)
    for k in reversed(range(layers)):
        top, low = 0.02 + k * 0.62 / layers, 0.02 + (k + 1.5) * 0.82 / (layers + 0.5)
        half = w * (k + 1.6) / (layers + 0.6)
        p.poly([(0.5, top), (0.5 + half, low), (0.5 - half, low)])
        p.line([(0.5 - half * 0.9, low - 0.01), (0.5 + half * 0.9, low - 0.01)], 0.012, p.shade(0.7))


def flower(p: Pen) -> None:
    """Petals on a stem."""
    petals, y = p.integer(5, 9), 0.33
    p.line([(0.5, y), (0.48, 0.7), (0.5, 0.98)], 0.035, LEAF)
    for side in (-1, 1):
        p.blob([(0.5, 0.82), (0.5 + side * 0.12, 0.68), (0.5 + side * 0.24, 0.68), (0.5 + side * 0.14, 0.8)], LEAF)
    reach, r = p.uniform(0.17, 0.2), p.uniform(0.095, 0.12)
    for k in range(petals):
        a = 2 * math.pi * k / petals
        p.oval(0.5 + reach * math.cos(a), y + reach * math.sin(a), r)
    p.oval(0.5, y, reach, paint=p.shade(0.9))
    p.oval(0.5, y, p.uniform(0.075, 0.1), paint=(245, 200, 50) if p.chance(0.7) else DARK)


def tulip(p: Pen) -> None:
    """A cup of three petals."""
    p.line([(0.5, 0.4), (0.5, 0.98)], 0.035, LEAF)
    p.blob([(0.5, 0.95), (0.34, 0.6), (0.28, 0.5), (0.36, 0.8)], LEAF)
    p.blob([(0.5, 0.95), (0.66, 0.6), (0.73, 0.48), (0.64, 0.8)], LEAF)
    w = p.uniform(0.2, 0.26)
    p.poly(
        [
            (0.5 - w, 0.03),
            (0.5 - w * 0.5, 0.16),
            (0.5, 0.02),
            (0.5 + w * 0.5, 0.16),
            (0.5 + w, 0.03),
            (0.5 + w, 0.28),
            (0.5 + w * 0.6, 0.43),
            (0.5 - w * 0.6, 0.43),
            (0.5 - w, 0.28),
        ]
    )
    p.blob([(0.5, 0.08), (0.5 + w * 0.45, 0.25), (0.5, 0.43), (0.5 - w * 0.45, 0.25)], p.shade(0.8))


def cactus(p: Pen) -> None:
    """A column with arms."""
    t = p.uniform(0.15, 0.2)
    p.line([(0.5, 0.12), (0.5, 0.92)], t)
    left, right = p.uniform(0.4, 0.5), p.uniform(0.5, 0.62)
    p.line([(0.5, left + 0.14), (0.22, left + 0.14), (0.22, left - 0.12)], t * 0.65)
    p.line([(0.5, right + 0.1), (0.78, right + 0.1), (0.78, right - 0.18)], t * 0.65)
    for x in (0.46, 0.54):
        p.line([(x, 0.12), (x, 0.9)], 0.008, p.shade(0.6))
    if p.chance(0.5):
        p.poly([(0.3, 0.78), (0.7, 0.78), (0.64, 0.995), (0.36, 0.995)], (176, 96, 60))


def mushroom(p: Pen) -> None:
    """Cap with dots and a stem."""
    w = p.uniform(0.09, 0.13)
    p.poly([(0.5 - w, 0.45), (0.5 + w, 0.45), (0.5 + w * 1.4, 0.95), (0.5 - w * 1.4, 0.95)], (238, 226, 205))
    h = p.uniform(0.3, 0.46)
    p.chord(0.5, 0.52, p.uniform(0.38, 0.47), h, (180, 360))
    for x, y in ((0.36, 0.3), (0.56, 0.2), (0.67, 0.4), (0.47, 0.42), (0.24, 0.44)):
        p.oval(x, 0.52 - (0.52 - y) * h / 0.46, 0.042, 0.035, LIGHT)


def cloud(p: Pen) -> None:
    """Puffs on a flat base."""
    p.box(0.08, 0.5, 0.92, 0.68, r=0.09)
    puffs = p.integer(3, 5)
    for k in range(puffs):
        x = 0.2 + 0.6 * k / (puffs - 1)
        p.oval(x, 0.52 - 0.12 * math.sin(math.pi * k / (puffs - 1)), p.uniform(0.13, 0.2))


def sun(p: Pen) -> None:
    """A disc with rays."""
    rays, inner = p.integer(8, 14), p.uniform(0.24, 0.29)
    if p.chance(0.5):
        p.star(0.5, 0.5, 0.49, inner + 0.02, rays)
    else:
        for k in range(rays):
            a = 2 * math.pi * k / rays
            ends: list[Point] = [(0.5 + d * math.cos(a), 0.5 + d * math.sin(a)) for d in (inner * 0.9, 0.47)]
            p.line(ends, 0.05)
    p.oval(0.5, 0.5, inner)
    if p.chance(0.4):
        for side in (-1, 1):
            p.oval(0.5 + side * 0.09, 0.46, 0.025, 0.035, DARK)
        p.arc(0.5, 0.5, 0.13, 0.12, (20, 160), 0.022, DARK)


def leaf(p: Pen) -> None:
    """A leaf with its veins."""
    w = p.uniform(0.2, 0.3)
    p.blob([(0.5, 0.02), (0.5 + w, 0.35), (0.5 + w * 0.8, 0.65), (0.5, 0.85), (0.5 - w * 0.8, 0.65), (0.5 - w, 0.35)])
    p.line([(0.5, 0.08), (0.5, 0.98)], 0.025, p.shade(0.65))
    for y in (0.3, 0.45, 0.6):
        for side in (-1, 1):
            p.line([(0.5, y + 0.08), (0.5 + side * w * 0.7, y - 0.04)], 0.012, p.shade(0.65))


def mountain(p: Pen) -> None:
    """Peaks with snow."""
    x = p.uniform(0.35, 0.6)
    p.poly([(0.01, 0.85), (x, 0.12), (0.99, 0.85)])
    p.poly([(x + 0.12, 0.85), (p.uniform(0.7, 0.8), 0.38), (0.99, 0.85)], p.shade(0.8))
    t = 0.24
    left, right = x - t * x, x + t * (0.99 - x)
    low = 0.12 + t * 0.73
    p.poly(
        [(x, 0.12), (right, low), (x + 0.06, low - 0.05), (x, low + 0.03), (x - 0.05, low - 0.04), (left, low)], LIGHT
    )


DRAWINGS = {f.__name__: f for f in (tree, pine, flower, tulip, cactus, mushroom, cloud, sun, leaf, mountain)}
