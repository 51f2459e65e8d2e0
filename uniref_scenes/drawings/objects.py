"""What people make and use, and people."""

from __future__ import annotations

import math

from uniref_scenes.drawings.pen import AMBER, DARK, GLASS, LIGHT, METAL, SKIN, WOOD, Pen

_HAIR = ((40, 28, 20), (90, 56, 30), (190, 150, 80), (150, 70, 30))
_SKINS = (SKIN, (141, 92, 60), (196, 140, 100), (90, 58, 40))


def house(p: Pen) -> None:
    """Walls, roof, door and windows."""
    eaves, side = p.uniform(0.4, 0.48), p.uniform(0.12, 0.18)
    p.box(side, eaves, 1 - side, 0.96)
    roof = (120, 60, 45) if p.chance(0.6) else p.shade(0.55)
    ridge = 0.5 if p.chance(0.6) else 0.3
    p.box(0.68, 0.12, 0.77, 0.4, (130, 80, 66))
    p.poly([(0.03, eaves + 0.02), (ridge, 0.1), (1 - ridge, 0.1), (0.97, eaves + 0.02)], roof)
    door = p.uniform(0.28, 0.58)
    p.box(door, 0.66, door + 0.14, 0.96, WOOD)
    p.oval(door + 0.115, 0.82, 0.012, paint=AMBER)
    for x in (0.24, 0.64) if abs(door - 0.45) < 0.1 else ((0.64,) if door < 0.45 else (0.24,)):
        p.box(x, 0.56, x + 0.14, 0.7, LIGHT)
        p.box(x + 0.015, 0.575, x + 0.125, 0.685, GLASS)
        p.box(x + 0.063, 0.57, x + 0.077, 0.69, LIGHT)


def castle(p: Pen) -> None:
    """Towers and a gate."""
    left, high = p.uniform(0.18, 0.24), p.uniform(0.2, 0.3)
    p.box(left, 0.5, 1 - left, 0.96)
    for k in range(5):
        x = left + 0.02 + k * (1 - 2 * left) / 5
        p.box(x, 0.43, x + 0.06, 0.52)
    for x in (0.04, 0.74):
        p.box(x, high, x + 0.22, 0.96, p.shade(0.9))
        for k in range(3):
            p.box(x - 0.01 + k * 0.09, high - 0.06, x + 0.05 + k * 0.09, high + 0.01, p.shade(0.9))
        p.box(x + 0.08, high + 0.1, x + 0.14, high + 0.24, DARK, 0.03)
    p.box(0.4, 0.68, 0.6, 0.96, WOOD, 0.02)
    p.chord(0.5, 0.7, 0.1, 0.12, (180, 360), WOOD)
    if p.chance(0.5):
        p.line([(0.15, high - 0.05), (0.15, 0.02)], 0.014, DARK)
        p.poly([(0.155, 0.02), (0.3, 0.06), (0.155, 0.1)], p.trim)


def tent(p: Pen) -> None:
    """A ridge tent with an opening."""
    x = p.uniform(0.42, 0.58)
    p.poly([(0.02, 0.85), (x, 0.2), (0.98, 0.85)])
    p.poly([(x, 0.3), (x + p.uniform(0.1, 0.15), 0.85), (x - p.uniform(0.1, 0.15), 0.85)], p.shade(0.45))
    p.line([(x, 0.21), (x, 0.13)], 0.018, WOOD)
    p.line([(0.02, 0.85), (0.98, 0.85)], 0.02, p.shade(0.6))


def ball(p: Pen) -> None:
    """With panels, stripes or plain."""
    p.oval(0.5, 0.5, 0.48)
    kind = p.integer(0, 3)
    # a beach ball
    if kind == 0:
        for k in range(6):
            if k % 2:
                p.pie(0.5, 0.5, 0.48, 0.48, (k * 60, k * 60 + 40), p.trim)
        p.oval(0.5, 0.5, 0.09, paint=LIGHT)
    # a football
    elif kind == 1:
        p.star(0.5, 0.5, 0.15, 0, 5, paint=p.shade(0.4))
        for k in range(5):
            a = math.radians(-90 + 72 * k)
            p.line(
                [
                    (0.5 + 0.15 * math.cos(a), 0.5 + 0.15 * math.sin(a)),
                    (0.5 + 0.34 * math.cos(a), 0.5 + 0.34 * math.sin(a)),
                ],
                0.02,
                p.shade(0.4),
            )
    # a basketball
    elif kind == 2:
        for x in (0.18, 0.82):
            p.arc(
                x - 0.3 if x < 0.5 else x + 0.3,
                0.5,
                0.34,
                0.4,
                (-45, 45) if x < 0.5 else (135, 225),
                0.018,
                p.shade(0.4),
            )
        p.line([(0.03, 0.5), (0.97, 0.5)], 0.018, p.shade(0.4))
    # a highlight
    p.oval(0.36, 0.3, 0.1, 0.07, p.shade(1.5))


def cup(p: Pen) -> None:
    """A mug with a handle."""
    r = p.uniform(0.28, 0.36)
    p.arc(0.44 + r, 0.52, 0.17, p.uniform(0.15, 0.2), (-95, 95), 0.065)
    taper = p.uniform(0.0, 0.09)
    p.poly([(0.44 - r, 0.18), (0.44 + r, 0.18), (0.44 + r - taper, 0.84), (0.44 - r + taper, 0.84)])
    p.oval(0.44, 0.84, r - taper, 0.07)
    p.oval(0.44, 0.18, r, 0.085, p.shade(0.75))
    p.oval(0.44, 0.2, r * 0.86, 0.06, (80, 48, 26) if p.chance(0.6) else LIGHT)


def umbrella(p: Pen) -> None:
    """Open, with a crooked handle."""
    y, ribs = p.uniform(0.45, 0.52), p.integer(3, 5)
    p.line([(0.5, 0.04), (0.5, 0.86)], 0.026, (90, 64, 40))
    p.arc(0.57, 0.86, 0.07, 0.09, (0, 180), 0.032, (90, 64, 40))
    p.chord(0.5, y, 0.49, y - 0.07, (180, 360))
    w = 0.98 / ribs
    for k in range(ribs):
        p.oval(0.01 + w * (k + 0.5), y, w / 2, 0.035, p.shade(0.65))
        if k:
            p.line(
                [(0.5, 0.08), (0.5 + (0.01 + w * k - 0.5) * 0.7, 0.08 + (y - 0.08) * 0.45), (0.01 + w * k, y)],
                0.012,
                p.shade(0.65),
            )


def balloon(p: Pen) -> None:
    """A toy balloon on a string."""
    r = p.uniform(0.26, 0.32)
    p.line([(0.5, 0.68), (0.47, 0.78), (0.53, 0.88), (0.5, 0.98)], 0.012, (90, 90, 95))
    p.blob(
        [
            (0.5, 0.02),
            (0.5 + r, 0.2),
            (0.5 + r, 0.4),
            (0.5 + 0.12, 0.62),
            (0.5, 0.68),
            (0.5 - 0.12, 0.62),
            (0.5 - r, 0.4),
            (0.5 - r, 0.2),
        ]
    )
    p.poly([(0.5, 0.65), (0.54, 0.71), (0.46, 0.71)])
    p.oval(0.4, 0.2, 0.06, 0.09, p.shade(1.5))


def hat(p: Pen) -> None:
    """Top hat, cap or a straw hat with a ribbon."""
    kind = p.integer(0, 2)
    if kind == 2:
        p.chord(0.44, 0.66, 0.36, p.uniform(0.36, 0.46), (180, 360))
        p.blob([(0.5, 0.62), (0.8, 0.6), (0.99, 0.68), (0.8, 0.74), (0.45, 0.7)], p.shade(0.75))
        p.oval(0.44, 0.25, 0.035, 0.025, p.shade(0.6))
        return
    top, half = (p.uniform(0.12, 0.22), 0.25) if kind == 0 else (p.uniform(0.3, 0.36), 0.27)
    p.oval(0.5, 0.76, 0.48, 0.1 if kind == 0 else 0.13)
    p.box(0.5 - half, top, 0.5 + half, 0.76, r=0.04 if kind == 0 else 0.15)
    p.box(0.5 - half, 0.6, 0.5 + half, 0.71, p.trim)


def lamp(p: Pen) -> None:
    """A table lamp."""
    top, w = p.uniform(0.12, 0.18), p.uniform(0.3, 0.38)
    p.box(0.475, 0.45, 0.525, 0.9, METAL)
    p.oval(0.5, 0.9, 0.2, 0.06, METAL)
    p.poly([(0.5 - w * 0.5, 0.06), (0.5 + w * 0.5, 0.06), (0.5 + w, 0.5), (0.5 - w, 0.5)])
    p.line([(0.5 - w, 0.49), (0.5 + w, 0.49)], 0.025, p.shade(0.7))
    p.line([(0.62, 0.5), (0.62, 0.5 + top)], 0.01, DARK)


def chair(p: Pen) -> None:
    """A plain chair, seen at an angle."""
    t, back = p.uniform(0.05, 0.08), p.uniform(0.04, 0.12)
    p.box(0.2, back, 0.2 + t, 0.96)
    for k in range(p.integer(2, 4)):
        p.box(0.2, back + 0.03 + k * 0.12, 0.3, back + 0.1 + k * 0.12, p.shade(0.8))
    p.poly([(0.2, 0.52), (0.68, 0.52), (0.84, 0.62), (0.26, 0.62)])
    p.box(0.26, 0.6, 0.84, 0.66, p.shade(0.75))
    p.box(0.66, 0.64, 0.66 + t, 0.9, p.shade(0.7))
    p.box(0.84 - t, 0.62, 0.84, 0.97)
    p.box(0.3, 0.64, 0.3 + t, 0.97)
    p.poly([(0.2, back), (0.3, back + 0.04), (0.3, 0.56), (0.2, 0.52)])


def table(p: Pen) -> None:
    """Four legs."""
    h, t = p.uniform(0.36, 0.46), p.uniform(0.045, 0.07)
    p.poly([(0.14, h - 0.12), (0.86, h - 0.12), (0.99, h), (0.01, h)])
    p.box(0.01, h, 0.99, h + 0.055, p.shade(0.75))
    for x in (0.04, 0.96 - t):
        p.box(x, h + 0.05, x + t, 0.9)
    for x in (0.2, 0.8 - t):
        p.box(x, h + 0.05, x + t * 0.8, 0.8, p.shade(0.65))


def bottle(p: Pen) -> None:
    """With a label and a cap."""
    w, neck = p.uniform(0.14, 0.2), p.uniform(0.05, 0.07)
    p.box(0.5 - w, 0.4, 0.5 + w, 0.97, r=0.05)
    p.poly(
        [(0.5 - w, 0.46), (0.5 - neck, 0.28), (0.5 - neck, 0.1), (0.5 + neck, 0.1), (0.5 + neck, 0.28), (0.5 + w, 0.46)]
    )
    p.box(0.5 - neck - 0.01, 0.03, 0.5 + neck + 0.01, 0.11, p.trim, 0.015)
    p.box(0.5 - w, 0.58, 0.5 + w, 0.76, LIGHT)
    p.box(0.5 - w * 0.6, 0.64, 0.5 + w * 0.6, 0.69, p.shade(0.6))


def book(p: Pen) -> None:
    """Closed, standing at an angle."""
    d = p.uniform(0.08, 0.14)
    p.poly([(0.14 + d, 0.06), (0.9, 0.06), (0.9, 0.86), (0.14 + d, 0.86)], p.shade(0.7))
    p.poly([(0.18, 0.9), (0.18 + d * 0.7, 0.82), (0.88, 0.82), (0.8, 0.9)], (240, 232, 214))
    p.box(0.12, 0.08, 0.8, 0.9, r=0.02)
    p.box(0.12, 0.08, 0.2, 0.9, p.shade(0.65))
    p.box(0.3, 0.22, 0.7, 0.36, p.trim)
    p.box(0.34, 0.42, 0.66, 0.45, p.shade(0.5))


def present(p: Pen) -> None:
    """A wrapped box with a bow."""
    p.box(0.1, 0.4, 0.9, 0.96)
    p.box(0.05, 0.3, 0.95, 0.46, p.shade(0.85), 0.02)
    p.box(0.44, 0.3, 0.56, 0.96, p.trim)
    for side in (-1, 1):
        p.blob([(0.5, 0.3), (0.5 + side * 0.12, 0.1), (0.5 + side * 0.3, 0.12), (0.5 + side * 0.24, 0.28)], p.trim)
    p.oval(0.5, 0.28, 0.05, paint=p.trim)


def bell(p: Pen) -> None:
    """A hand bell."""
    p.oval(0.5, 0.86, 0.085, paint=p.shade(0.5))
    w = p.uniform(0.2, 0.26)
    p.poly(
        [
            *((0.5 - w * math.cos(a), 0.34 - 0.24 * math.sin(a)) for a in (0, 0.5, 1.0, 1.57, 2.1, 2.6, 3.14)),
            (0.5 + w + 0.06, 0.68),
            (0.88, 0.82),
            (0.12, 0.82),
            (0.5 - w - 0.06, 0.68),
        ]
    )
    p.oval(0.5, 0.07, 0.06, paint=p.shade(0.7))
    p.line([(0.14, 0.8), (0.86, 0.8)], 0.03, p.shade(0.7))


def clock(p: Pen) -> None:
    """An alarm clock or a wall clock."""
    if p.chance(0.6):
        for side in (-1, 1):
            p.oval(0.5 + side * 0.25, 0.16, 0.13, 0.11, p.shade(0.8))
            p.line([(0.5 + side * 0.25, 0.8), (0.5 + side * 0.34, 0.95)], 0.05, p.shade(0.7))
    p.oval(0.5, 0.52, 0.42)
    p.oval(0.5, 0.52, p.uniform(0.22, 0.26), paint=LIGHT)
    for length, width in ((0.19, 0.022), (0.12, 0.03)):
        a = p.uniform(0, 6.28)
        p.line([(0.5, 0.52), (0.5 + length * math.cos(a), 0.52 + length * math.sin(a))], width, DARK)


def kite(p: Pen) -> None:
    """A diamond with a tail."""
    y = p.uniform(0.26, 0.34)
    p.line([(0.5, 0.7), (0.56, 0.78), (0.46, 0.86), (0.54, 0.97)], 0.014, DARK)
    for x, v in ((0.55, 0.78), (0.47, 0.87)):
        p.poly([(x - 0.06, v - 0.03), (x + 0.06, v + 0.03), (x + 0.06, v - 0.03), (x - 0.06, v + 0.03)], p.trim)
    p.poly([(0.5, 0.02), (0.84, y), (0.5, 0.72), (0.16, y)])
    p.line([(0.5, 0.03), (0.5, 0.71)], 0.014, p.shade(0.6))
    p.line([(0.17, y), (0.83, y)], 0.014, p.shade(0.6))


def shirt(p: Pen) -> None:
    """A T-shirt."""
    s, w = p.uniform(0.34, 0.46), p.uniform(0.22, 0.26)
    p.poly(
        [
            (0.36, 0.1),
            (0.64, 0.1),
            (0.8, 0.15),
            (0.98, s),
            (0.84, s + 0.1),
            (0.5 + w, 0.36),
            (0.5 + w, 0.92),
            (0.5 - w, 0.92),
            (0.5 - w, 0.36),
            (0.16, s + 0.1),
            (0.02, s),
            (0.2, 0.15),
        ]
    )
    # neckline and perhaps a print
    p.chord(0.5, 0.1, 0.13, 0.11, (0, 180), p.shade(0.6))
    if p.chance(0.3):
        p.star(0.5, 0.5, 0.11, 0.05, 5, paint=p.trim)


def shoe(p: Pen) -> None:
    """A trainer, toe to the right."""
    p.blob(
        [
            (0.06, 0.3),
            (0.3, 0.3),
            (0.44, 0.42),
            (0.66, 0.54),
            (0.92, 0.6),
            (0.97, 0.72),
            (0.5, 0.76),
            (0.05, 0.74),
            (0.04, 0.5),
        ]
    )
    # sole, opening, laces and perhaps a stripe
    p.box(0.03, 0.72, 0.98, 0.81, LIGHT, 0.035)
    p.oval(0.19, 0.33, 0.13, 0.045, p.shade(0.45))
    for k in range(4):
        p.line([(0.4 + k * 0.07, 0.5 + k * 0.03), (0.46 + k * 0.07, 0.42 + k * 0.04)], 0.022, LIGHT)
    if p.chance(0.6):
        p.line([(0.24, 0.7), (0.34, 0.52)], 0.04, p.trim)


def backpack(p: Pen) -> None:
    """Straps, flap and pocket."""
    p.arc(0.5, 0.15, 0.12, 0.11, (180, 360), 0.045, p.shade(0.6))
    w = p.uniform(0.29, 0.35)
    for side in (-1, 1):
        p.box(0.5 + side * w - 0.05, 0.42, 0.5 + side * w + 0.05, 0.86, p.shade(0.7), 0.04)
    p.box(0.5 - w, 0.12, 0.5 + w, 0.96, r=0.14)
    p.box(0.5 - w + 0.06, 0.55, 0.5 + w - 0.06, 0.86, p.shade(0.8), 0.05)
    p.box(0.5 - w + 0.06, 0.55, 0.5 + w - 0.06, 0.62, p.trim, 0.02)
    p.line([(0.5 - w + 0.07, 0.4), (0.5 + w - 0.07, 0.4)], 0.018, p.shade(0.5))


def key(p: Pen) -> None:
    """Ring, shaft and teeth."""
    r = p.uniform(0.16, 0.2)
    p.arc(0.22, 0.5, r * 0.78, r * 0.78, (0, 360), 0.09)
    p.box(0.22 + r * 0.9, 0.46, 0.97, 0.545)
    for k in range(p.integer(2, 3)):
        p.box(0.68 + k * 0.11, 0.52, 0.74 + k * 0.11, p.uniform(0.62, 0.7))


def guitar(p: Pen) -> None:
    """An acoustic guitar, upright."""
    # neck and head, then the body over them
    p.box(0.465, 0.1, 0.535, 0.6, (80, 50, 28))
    p.box(0.44, 0.02, 0.56, 0.13, (60, 36, 20), 0.02)
    low, up = p.uniform(0.25, 0.29), p.uniform(0.18, 0.21)
    p.blob(
        [
            (0.5, 0.44),
            (0.5 + up, 0.5),
            (0.5 + up * 0.78, 0.64),
            (0.5 + low, 0.8),
            (0.5, 0.99),
            (0.5 - low, 0.8),
            (0.5 - up * 0.78, 0.64),
            (0.5 - up, 0.5),
        ]
    )
    # sound hole, bridge and strings
    p.oval(0.5, 0.65, 0.075, paint=DARK)
    p.box(0.42, 0.83, 0.58, 0.86, DARK)
    for x in (0.485, 0.5, 0.515):
        p.line([(x, 0.08), (x, 0.84)], 0.004, LIGHT)


def person(p: Pen) -> None:
    """Standing, arms down or raised."""
    skin, hair = _SKINS[p.integer(0, 3)], _HAIR[p.integer(0, 3)]
    trousers = (50, 54, 70) if p.chance(0.6) else p.trim
    w = p.uniform(0.13, 0.17)
    for side in (-1, 1):
        p.line([(0.5 + side * 0.06, 0.62), (0.5 + side * 0.075, 0.93)], 0.095, trousers)
        p.line([(0.5 + side * 0.075, 0.955), (0.5 + side * 0.11, 0.96)], 0.05, DARK)
        hand = (0.5 + side * 0.27, 0.18) if p.chance(0.2) else (0.5 + side * 0.23, 0.6)
        p.line([(0.5 + side * w * 0.9, 0.34), hand], 0.07)
        p.oval(*hand, 0.042, paint=skin)
    p.box(0.465, 0.2, 0.535, 0.32, skin)
    p.box(0.5 - w, 0.28, 0.5 + w, 0.66, r=0.06)
    p.oval(0.5, 0.13, 0.1, 0.115, hair)
    p.oval(0.5, 0.155, 0.083, 0.09, skin)
    for side in (-1, 1):
        p.oval(0.5 + side * 0.033, 0.15, 0.011, paint=DARK)
    p.arc(0.5, 0.175, 0.03, 0.025, (20, 160), 0.01, (150, 60, 60))


def robot(p: Pen) -> None:
    """Square head, antenna, grippers."""
    p.line([(0.5, 0.12), (0.5, 0.02)], 0.02, METAL)
    p.oval(0.5, 0.03, 0.03, paint=AMBER)
    for side in (-1, 1):
        p.line([(0.5 + side * 0.24, 0.46), (0.5 + side * 0.4, 0.6)], 0.06, METAL)
        p.pie(0.5 + side * 0.41, 0.64, 0.08, 0.08, (120, 420), p.shade(0.7))
        p.box(0.5 + side * 0.12 - 0.05, 0.76, 0.5 + side * 0.12 + 0.05, 0.92, METAL)
        p.box(0.5 + side * 0.12 - 0.08, 0.9, 0.5 + side * 0.12 + 0.08, 0.97, p.shade(0.7), 0.02)
    p.box(0.26, 0.41, 0.74, 0.8, r=0.04)
    w = p.uniform(0.18, 0.23)
    p.box(0.5 - w, 0.11, 0.5 + w, 0.38, r=0.04)
    for side in (-1, 1):
        p.oval(0.5 + side * 0.085, 0.22, 0.045, paint=LIGHT)
        p.oval(0.5 + side * 0.085, 0.22, 0.02, paint=DARK)
    p.box(0.42, 0.3, 0.58, 0.335, DARK)
    p.box(0.36, 0.5, 0.64, 0.66, p.shade(0.6), 0.02)
    for k, paint in enumerate((AMBER, (220, 60, 60), (90, 200, 110))):
        p.oval(0.42 + k * 0.08, 0.58, 0.025, paint=paint)


def snowman(p: Pen) -> None:
    """Three balls of snow, a coloured hat and scarf."""
    white = (236, 240, 246)
    p.oval(0.5, 0.77, 0.22, paint=white)
    p.oval(0.5, 0.48, 0.165, paint=white)
    p.oval(0.5, 0.27, 0.12, paint=white)
    for side in (-1, 1):
        p.line([(0.5 + side * 0.14, 0.46), (0.5 + side * 0.36, p.uniform(0.3, 0.42))], 0.02, WOOD)
        p.oval(0.5 + side * 0.045, 0.25, 0.016, paint=DARK)
    p.poly([(0.5, 0.28), (0.64, 0.3), (0.5, 0.315)], (240, 130, 30))
    for y in (0.46, 0.54, 0.7):
        p.oval(0.5, y, 0.018, paint=DARK)
    p.box(0.34, 0.36, 0.66, 0.42, p.trim, 0.03)
    p.box(0.34, 0.14, 0.66, 0.175, DARK)
    p.box(0.4, 0.02, 0.6, 0.16, DARK)


DRAWINGS = {
    f.__name__: f
    for f in (
        *(house, castle, tent, ball, cup, umbrella, balloon, hat, lamp, chair, table, bottle, book, present, bell),
        *(clock, kite, shirt, shoe, backpack, key, guitar, person, robot, snowman),
    )
}
