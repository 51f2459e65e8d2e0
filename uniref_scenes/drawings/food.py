"""Fruit, vegetables and sweets."""

from __future__ import annotations

from uniref_scenes.drawings.pen import LEAF, LIGHT, WOOD, Pen


def apple(p: Pen) -> None:
    """With stalk and leaf."""
    p.line([(0.5, 0.3), (0.53, 0.08)], 0.03, WOOD)
    p.blob([(0.54, 0.16), (0.66, 0.04), (0.78, 0.08), (0.66, 0.18)], LEAF)
    w = p.uniform(0.38, 0.44)
    p.blob(
        [
            (0.5, 0.28),
            (0.5 + w * 0.6, 0.2),
            (0.5 + w, 0.42),
            (0.5 + w * 0.75, 0.78),
            (0.5 + w * 0.3, 0.95),
            (0.5, 0.9),
            (0.5 - w * 0.3, 0.95),
            (0.5 - w * 0.75, 0.78),
            (0.5 - w, 0.42),
            (0.5 - w * 0.6, 0.2),
        ]
    )
    p.oval(0.34, 0.42, 0.06, 0.09, p.shade(1.45))


def pear(p: Pen) -> None:
    """Narrow top, wide base."""
    p.line([(0.5, 0.2), (0.52, 0.03)], 0.03, WOOD)
    w = p.uniform(0.27, 0.34)
    p.blob(
        [
            (0.5, 0.12),
            (0.61, 0.22),
            (0.64, 0.42),
            (0.5 + w, 0.66),
            (0.5 + w * 0.8, 0.9),
            (0.5, 0.97),
            (0.5 - w * 0.8, 0.9),
            (0.5 - w, 0.66),
            (0.36, 0.42),
            (0.39, 0.22),
        ]
    )
    p.oval(0.38, 0.62, 0.05, 0.09, p.shade(1.4))


def banana(p: Pen) -> None:
    """A crescent with dark ends."""
    # the body, then its ends and an edge
    b = p.uniform(0.0, 0.06)
    p.blob(
        [
            (0.04, 0.36),
            (0.12, 0.34),
            (0.28, 0.52 - b),
            (0.52, 0.58 - b),
            (0.76, 0.46),
            (0.88, 0.24),
            (0.95, 0.26),
            (0.92, 0.52),
            (0.74, 0.74),
            (0.46, 0.82),
            (0.2, 0.68),
        ]
    )
    p.poly([(0.87, 0.25), (0.9, 0.13), (0.97, 0.14), (0.955, 0.27)], WOOD)
    p.oval(0.065, 0.365, 0.03, paint=WOOD)
    p.line([(0.14, 0.46), (0.34, 0.64 - b), (0.56, 0.68 - b), (0.82, 0.5)], 0.014, p.shade(0.75))


def carrot(p: Pen) -> None:
    """Pointing down, with green on top."""
    for x in (0.38, 0.5, 0.62):
        p.line([(0.5, 0.3), (x, 0.06)], 0.045, LEAF)
    w = p.uniform(0.15, 0.2)
    p.blob([(0.5 - w, 0.32), (0.5, 0.27), (0.5 + w, 0.32), (0.5 + w * 0.6, 0.62), (0.5, 0.98), (0.5 - w * 0.6, 0.62)])
    for k in range(4):
        x = 0.5 + (-1) ** k * w * 0.4
        p.line([(x - 0.05, 0.42 + k * 0.1), (x + 0.03, 0.42 + k * 0.1)], 0.012, p.shade(0.7))


def cherry(p: Pen) -> None:
    """A pair on one stalk."""
    for x, y in ((0.28, 0.74), (0.72, p.uniform(0.66, 0.74))):
        p.line([(x, y), (0.46 + x * 0.1, 0.36), (0.56, 0.1)], 0.025, LEAF)
        p.oval(x, y, 0.21)
        p.oval(x - 0.07, y - 0.08, 0.04, paint=p.shade(1.5))
    p.blob([(0.56, 0.1), (0.72, 0.03), (0.9, 0.12), (0.72, 0.2)], LEAF)


def strawberry(p: Pen) -> None:
    """With seeds and leaves."""
    w = p.uniform(0.33, 0.4)
    p.blob(
        [
            (0.5, 0.2),
            (0.5 + w, 0.24),
            (0.5 + w * 0.95, 0.5),
            (0.62, 0.86),
            (0.5, 0.96),
            (0.38, 0.86),
            (0.5 - w * 0.95, 0.5),
            (0.5 - w, 0.24),
        ]
    )
    for y, xs in ((0.4, (0.32, 0.5, 0.68)), (0.55, (0.4, 0.6)), (0.7, (0.42, 0.56))):
        for x in xs:
            p.oval(x, y, 0.018, 0.026, (250, 226, 140))
    p.star(0.5, 0.2, 0.27, 0.1, 5, 90, LEAF)
    p.line([(0.5, 0.16), (0.5, 0.03)], 0.035, LEAF)


def cake(p: Pen) -> None:
    """Two tiers with icing and a candle."""
    y = p.uniform(0.4, 0.48)
    p.box(0.485, y - 0.22, 0.515, y, p.trim)
    p.oval(0.5, y - 0.26, 0.025, 0.045, (250, 170, 50))
    p.box(0.24, y, 0.76, y + 0.24, r=0.03)
    p.box(0.08, y + 0.22, 0.92, 0.95, r=0.03)
    for left, right, top in ((0.24, 0.76, y), (0.08, 0.92, y + 0.22)):
        count = round((right - left) / 0.13)
        step = (right - left) / count
        p.box(left, top, right, top + 0.05, LIGHT, 0.02)
        for k in range(count):
            p.oval(left + step * (k + 0.5), top + 0.05, step * 0.45, 0.045, LIGHT)


def ice_cream(p: Pen) -> None:
    """Scoops in a cone."""
    p.poly([(0.29, 0.5), (0.71, 0.5), (0.5, 0.99)], (206, 152, 88))
    for k in range(3):
        p.line([(0.33 + k * 0.12, 0.52), (0.45 + k * 0.06, 0.78)], 0.012, (160, 108, 56))
    scoops = p.integer(1, 2)
    if scoops == 2:
        p.oval(0.5, 0.2, 0.18)
    p.oval(0.5, 0.38, 0.245, 0.22)
    p.box(0.27, 0.46, 0.73, 0.53, r=0.035)
    if p.chance(0.4):
        p.oval(0.5, 0.03 if scoops == 2 else 0.16, 0.045, paint=(200, 30, 50))


def pumpkin(p: Pen) -> None:
    """Ribbed, with a stalk."""
    p.line([(0.5, 0.28), (0.54, 0.1)], 0.07, (80, 110, 50))
    h = p.uniform(0.3, 0.36)
    for x, factor in ((0.24, 0.85), (0.76, 0.85), (0.37, 0.95), (0.63, 0.95)):
        p.oval(x, 0.58, 0.21, h, p.shade(factor))
    p.oval(0.5, 0.58, 0.2, h + 0.01)
    p.oval(0.24, 0.58, 0.2, h * 0.96)
    p.oval(0.76, 0.58, 0.2, h * 0.96)
    for x in (0.3, 0.43, 0.57, 0.7):
        p.line([(x, 0.58 - h * 0.7), (x + (x - 0.5) * 0.25, 0.58), (x, 0.58 + h * 0.7)], 0.014, p.shade(0.7))


DRAWINGS = {
    f.__name__.replace("_", " "): f for f in (apple, pear, banana, carrot, cherry, strawberry, cake, ice_cream, pumpkin)
}
