"""Animals, facing right."""

from __future__ import annotations

import math

from uniref_scenes.drawings.pen import AMBER, DARK, LIGHT, Pen, Point


def _eye(p: Pen, x: float, y: float, r: float = 0.025) -> None:
    p.oval(x, y, r * 1.5, paint=LIGHT)
    p.oval(x + r * 0.3, y, r * 0.8, paint=DARK)


def fish(p: Pen) -> None:
    """Body, tail and fins."""
    # tail and fins, then the body over them
    h, tail = p.uniform(0.19, 0.28), p.uniform(0.22, 0.3)
    p.poly([(0.26, 0.5), (0.02, 0.5 - tail), (0.09, 0.5), (0.02, 0.5 + tail)], p.shade(0.8))
    p.poly([(0.4, 0.5 - h * 0.8), (0.5, 0.5 - h - 0.13), (0.72, 0.5 - h * 0.7)], p.shade(0.8))
    p.poly([(0.46, 0.5 + h * 0.8), (0.5, 0.5 + h + 0.09), (0.66, 0.5 + h * 0.75)], p.shade(0.8))
    p.blob(
        [
            (0.2, 0.5),
            (0.36, 0.5 - h * 0.8),
            (0.6, 0.5 - h),
            (0.84, 0.5 - h * 0.65),
            (0.98, 0.5),
            (0.84, 0.5 + h * 0.65),
            (0.6, 0.5 + h),
            (0.36, 0.5 + h * 0.8),
        ]
    )
    # side fin, gill and eye
    p.poly([(0.56, 0.52), (0.44, 0.6), (0.5, 0.47)], p.shade(0.7))
    p.arc(0.68, 0.5, 0.06, h * 0.7, (-70, 70), 0.012, p.shade(0.65))
    _eye(p, 0.84, 0.5 - h * 0.2, 0.03)


def bird(p: Pen) -> None:
    """A perching bird."""
    tail = p.uniform(0.0, 0.1)
    p.poly([(0.3, 0.52), (0.01, 0.62 - tail), (0.04, 0.72 - tail), (0.34, 0.66)], p.shade(0.8))
    p.blob([(0.22, 0.56), (0.4, 0.42), (0.6, 0.34), (0.76, 0.44), (0.74, 0.64), (0.56, 0.76), (0.34, 0.7)])
    p.oval(0.74, 0.31, p.uniform(0.13, 0.16))
    p.poly([(0.85, 0.26), (0.99, 0.32), (0.86, 0.37)], (240, 160, 40))
    p.blob([(0.6, 0.46), (0.46, 0.44), (0.22, 0.6), (0.4, 0.66), (0.56, 0.6)], p.shade(0.7))
    _eye(p, 0.77, 0.28, 0.024)
    for x in (0.48, 0.58):
        p.line([(x, 0.72), (x, 0.88), (x + 0.07, 0.88)], 0.02, (200, 130, 40))


def duck(p: Pen) -> None:
    """A swimming duck."""
    p.blob(
        [(0.02, 0.48), (0.14, 0.56), (0.4, 0.52), (0.66, 0.52), (0.82, 0.62), (0.72, 0.82), (0.4, 0.88), (0.16, 0.8)]
    )
    p.line([(0.7, 0.62), (0.72, 0.36)], 0.14)
    p.oval(0.74, 0.27, p.uniform(0.13, 0.155))
    p.blob([(0.84, 0.25), (0.98, 0.29), (0.98, 0.34), (0.84, 0.34)], (240, 140, 30))
    p.blob([(0.28, 0.6), (0.5, 0.56), (0.62, 0.64), (0.46, 0.76), (0.28, 0.72)], p.shade(0.8))
    _eye(p, 0.77, 0.23, 0.022)


def cat(p: Pen) -> None:
    """A sitting cat from the front."""
    p.arc(0.72, 0.72, 0.16, 0.2, (-60, 120), 0.07)
    p.blob([(0.5, 0.42), (0.68, 0.6), (0.74, 0.9), (0.62, 0.97), (0.38, 0.97), (0.26, 0.9), (0.32, 0.6)])
    p.oval(0.5, 0.34, p.uniform(0.23, 0.26), p.uniform(0.19, 0.22))
    for side in (-1, 1):
        p.poly([(0.5 + side * 0.23, 0.34), (0.5 + side * p.uniform(0.22, 0.26), 0.04), (0.5 + side * 0.06, 0.18)])
        p.poly([(0.5 + side * 0.19, 0.24), (0.5 + side * 0.205, 0.11), (0.5 + side * 0.11, 0.18)], (232, 160, 165))
        p.oval(0.5 + side * 0.095, 0.32, 0.035, 0.042, AMBER)
        p.oval(0.5 + side * 0.095, 0.32, 0.014, 0.038, DARK)
        for y in (0.4, 0.44):
            p.line(
                [(0.5 + side * 0.07, y), (0.5 + side * 0.3, y - 0.03 + (y - 0.4))],
                0.008,
                LIGHT if sum(p.body) < 260 else DARK,
            )
        p.line([(0.5 + side * 0.05, 0.7), (0.5 + side * 0.05, 0.96)], 0.012, p.shade(0.65))
    p.poly([(0.47, 0.385), (0.53, 0.385), (0.5, 0.415)], (225, 110, 120))


def dog(p: Pen) -> None:
    """Standing, from the side."""
    # legs, tail and body
    leg = p.uniform(0.24, 0.3)
    y = 0.95 - leg
    for x in (0.24, 0.34, 0.62, 0.71):
        p.box(x - 0.04, y - 0.06, x + 0.04, 0.95, p.shade(0.85) if x in (0.34, 0.62) else None, 0.03)
    p.line([(0.2, y - 0.12), (0.08, y - 0.24), (0.06, y - 0.34)], 0.055)
    p.blob(
        [
            (0.16, y - 0.12),
            (0.3, y - 0.2),
            (0.6, y - 0.19),
            (0.78, y - 0.24),
            (0.79, y),
            (0.6, y + 0.03),
            (0.3, y + 0.02),
            (0.18, y),
        ]
    )
    # neck, head, snout, ear, nose and perhaps a collar
    top = y - p.uniform(0.32, 0.38)
    p.line([(0.73, y - 0.12), (0.77, top + 0.1)], 0.14)
    p.oval(0.78, top + 0.08, 0.125, 0.11)
    p.box(0.8, top + 0.07, 0.98, top + 0.18, r=0.05)
    p.blob([(0.7, top), (0.76, top + 0.02), (0.74, top + 0.2), (0.66, top + 0.2), (0.64, top + 0.1)], p.shade(0.6))
    p.oval(0.965, top + 0.1, 0.026, 0.022, DARK)
    _eye(p, 0.83, top + 0.05, 0.018)
    if p.chance(0.6):
        p.line([(0.68, y - 0.15), (0.82, y - 0.12)], 0.035, p.trim)


def rabbit(p: Pen) -> None:
    """From the front, with long ears."""
    ear = p.uniform(0.02, 0.1)
    for side in (-1, 1):
        p.oval(0.5 + side * p.uniform(0.09, 0.12), 0.22 + ear / 2, 0.065, 0.2 - ear / 2)
        p.oval(0.5 + side * 0.105, 0.23 + ear / 2, 0.03, 0.14 - ear / 2, (240, 180, 190))
        p.oval(0.5 + side * 0.14, 0.94, 0.1, 0.05)
    p.oval(0.5, 0.76, p.uniform(0.2, 0.25), 0.21)
    p.oval(0.5, 0.46, 0.19, 0.165)
    p.oval(0.5, 0.8, 0.12, 0.13, p.shade(1.3))
    for side in (-1, 1):
        p.oval(0.5 + side * 0.075, 0.43, 0.024, 0.03, DARK)
    p.oval(0.5, 0.495, 0.025, 0.02, (230, 120, 140))
    p.box(0.48, 0.52, 0.52, 0.56, LIGHT)


def turtle(p: Pen) -> None:
    """A domed shell; skin of a fixed green."""
    skin = (126, 158, 84)
    p.oval(0.86, 0.52, 0.11, 0.09, skin)
    for x in (0.26, 0.64):
        p.box(x - 0.065, 0.62, x + 0.065, 0.82, skin, 0.04)
    p.poly([(0.12, 0.66), (0.01, 0.72), (0.12, 0.72)], skin)
    h = p.uniform(0.36, 0.44)
    p.chord(0.45, 0.7, p.uniform(0.36, 0.4), h, (180, 360))
    for x in (0.28, 0.45, 0.62):
        p.star(x, 0.7 - h * 0.45, 0.085, 0, 6, paint=p.shade(0.75))
    p.box(0.08, 0.67, 0.82, 0.72, p.shade(0.6), 0.02)
    _eye(p, 0.89, 0.5, 0.018)


def butterfly(p: Pen) -> None:
    """Four wings around a dark body."""
    up, low = p.uniform(0.24, 0.29), p.uniform(0.17, 0.22)
    for side in (-1, 1):
        # upper and lower wing
        p.blob(
            [
                (0.5, 0.48),
                (0.5 + side * 0.2, 0.12),
                (0.5 + side * 0.45, 0.08),
                (0.5 + side * 0.47, 0.3),
                (0.5 + side * 0.3, 0.5),
            ]
        )
        p.blob(
            [
                (0.5, 0.5),
                (0.5 + side * 0.3, 0.5),
                (0.5 + side * (low + 0.2), 0.7),
                (0.5 + side * 0.25, 0.92),
                (0.5 + side * 0.08, 0.72),
            ]
        )
        # spots and feeler
        p.oval(0.5 + side * up * 1.15, 0.27, 0.06, 0.07, p.trim)
        p.oval(0.5 + side * low * 1.15, 0.7, 0.04, 0.05, p.trim)
        p.line([(0.5, 0.26), (0.5 + side * 0.09, 0.1)], 0.014, DARK)
    p.oval(0.5, 0.5, 0.035, 0.28, DARK)


def snail(p: Pen) -> None:
    """A shell with a spiral on a pale foot."""
    flesh = (214, 190, 150)
    p.blob(
        [(0.02, 0.84), (0.3, 0.74), (0.7, 0.76), (0.8, 0.5), (0.94, 0.48), (0.96, 0.62), (0.84, 0.86), (0.4, 0.88)],
        flesh,
    )
    for x in (0.84, 0.93):
        p.line([(x, 0.52), (x + 0.03, 0.34)], 0.022, flesh)
        p.oval(x + 0.03, 0.33, 0.025, paint=DARK)
    r = p.uniform(0.29, 0.33)
    x, y = 0.43, 0.8 - r
    p.oval(x, y, r)
    turns = p.uniform(4, 5.5)
    steps = [k / 40 for k in range(41)]
    spiral: list[Point] = [
        (x + r * 0.85 * (1 - t) * math.cos(turns * math.pi * t), y + r * 0.85 * (1 - t) * math.sin(turns * math.pi * t))
        for t in steps
    ]
    p.line(spiral, 0.03, p.shade(0.6))


def snake(p: Pen) -> None:
    """A wave with a head."""
    waves, height = p.uniform(1.3, 2.0), p.uniform(0.13, 0.2)
    steps = [k / 60 for k in range(61)]
    line: list[Point] = [(0.06 + 0.8 * t, 0.55 + height * math.sin(2 * math.pi * waves * t)) for t in steps]
    p.line(line, p.uniform(0.11, 0.14))
    x, y = line[-1]
    p.oval(x + 0.03, y, 0.1, 0.075)
    p.line([(x + 0.1, y), (x + 0.17, y)], 0.014, (210, 50, 60))
    _eye(p, x + 0.05, y - 0.025, 0.018)


def elephant(p: Pen) -> None:
    """Trunk, ears and tusk."""
    for x in (0.18, 0.3, 0.5, 0.6):
        p.box(x - 0.055, 0.6, x + 0.055, 0.93, p.shade(0.85) if x in (0.3, 0.5) else None, 0.03)
    p.blob([(0.08, 0.55), (0.14, 0.34), (0.36, 0.26), (0.6, 0.3), (0.7, 0.5), (0.62, 0.72), (0.14, 0.72)])
    p.oval(0.72, 0.4, p.uniform(0.15, 0.17))
    p.line([(0.82, 0.42), (0.9, 0.56), (0.88, 0.74), (0.94, 0.8)], 0.085)
    p.poly([(0.8, 0.54), (0.94, 0.58), (0.8, 0.5)], LIGHT)
    p.blob([(0.66, 0.28), (0.7, 0.42), (0.6, 0.58), (0.48, 0.46), (0.52, 0.3)], p.shade(0.75))
    p.line([(0.08, 0.52), (0.03, 0.7)], 0.025)
    _eye(p, 0.78, 0.36, 0.018)


def crab(p: Pen) -> None:
    """Shell, legs and claws."""
    for side in (-1, 1):
        for k in range(3):
            p.line(
                [
                    (0.5 + side * 0.2, 0.6),
                    (0.5 + side * (0.34 + 0.04 * k), 0.56 + 0.07 * k),
                    (0.5 + side * (0.4 + 0.02 * k), 0.72 + 0.07 * k),
                ],
                0.035,
            )
        p.line([(0.5 + side * 0.2, 0.52), (0.5 + side * 0.36, 0.42), (0.5 + side * 0.36, 0.3)], 0.05)
        p.pie(0.5 + side * 0.37, 0.22, 0.11, 0.12, (-60, 240))
        p.line([(0.5 + side * 0.08, 0.5), (0.5 + side * 0.08, 0.32)], 0.022)
        _eye(p, 0.5 + side * 0.08, 0.31, 0.024)
    p.oval(0.5, 0.6, p.uniform(0.25, 0.3), p.uniform(0.16, 0.2))
    p.arc(0.5, 0.6, 0.1, 0.07, (20, 160), 0.018, p.shade(0.5))


DRAWINGS = {
    f.__name__: f for f in (fish, bird, duck, cat, dog, rabbit, turtle, butterfly, snail, snake, elephant, crab)
}
