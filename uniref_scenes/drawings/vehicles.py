"""Vehicles, seen from the side, front to the right."""

from __future__ import annotations

from uniref_scenes.drawings.pen import AMBER, DARK, GLASS, LIGHT, METAL, SKIN, Pen

RED_LIGHT = (190, 40, 40)


def _wheel(p: Pen, x: float, y: float, r: float) -> None:
    p.oval(x, y, r, paint=DARK)
    p.oval(x, y, r * 0.55, paint=METAL)
    p.oval(x, y, r * 0.2, paint=DARK)


def _windows(p: Pen, x0: float, x1: float, y0: float, y1: float, count: int, gap: float = 0.02) -> None:
    width = (x1 - x0 - gap * (count - 1)) / count
    for k in range(count):
        left = x0 + k * (width + gap)
        p.box(left, y0, left + width, y1, GLASS, 0.012)


def car(p: Pen) -> None:
    """Sedan, hatchback, estate or coupe."""
    # proportions
    ground, r = 0.76, p.uniform(0.08, 0.105)
    bottom, height = ground - r * 0.7, p.uniform(0.15, 0.2)
    top, roof = bottom - height, bottom - height - p.uniform(0.13, 0.18)
    kind = p.integer(0, 3)
    back, front = ((0.2, 0.74), (0.05, 0.7), (0.04, 0.72), (0.3, 0.76))[kind]
    slope, rear = p.uniform(0.1, 0.17), (0.12, 0.07, 0.03, 0.2)[kind]
    hood = p.uniform(0.01, 0.04)
    # cabin, body and bonnet
    p.poly([(back, top + 0.03), (back + rear, roof), (front - slope, roof), (front, top + 0.03)])
    p.box(0.02, top, front + 0.04, bottom, r=0.05)
    p.poly(
        [
            (front - 0.05, top),
            (0.93, top + hood),
            (0.985, top + hood + 0.04),
            (0.985, bottom - 0.02),
            (0.96, bottom),
            (0.4, bottom),
            (0.4, top),
        ]
    )
    # windows
    inset, pillar = 0.022, p.uniform(0.42, 0.5)
    p.poly(
        [
            (back + 0.03 + rear * 0.25, top),
            (back + rear + 0.01, roof + inset),
            (pillar - 0.01, roof + inset),
            (pillar - 0.01, top),
        ],
        GLASS,
    )
    p.poly(
        [
            (pillar + 0.015, top),
            (pillar + 0.015, roof + inset),
            (front - slope - 0.005, roof + inset),
            (front - 0.035, top),
        ],
        GLASS,
    )
    # sill, door, handle, lamps
    p.box(0.015, bottom - 0.03, 0.985, bottom + 0.005, p.shade(0.55), 0.015)
    p.line([(pillar, top), (pillar, bottom - 0.03)], 0.006, p.shade(0.6))
    p.box(pillar - 0.07, top + 0.03, pillar - 0.025, top + 0.042, p.shade(0.5))
    p.oval(0.955, top + hood + 0.055, 0.022, 0.02, AMBER)
    p.box(0.02, top + 0.03, 0.045, top + 0.075, RED_LIGHT)
    # wheels in their arches
    for x in (p.uniform(0.2, 0.24), p.uniform(0.76, 0.8)):
        p.oval(x, ground - r, r * 1.15, paint=p.shade(0.5))
        _wheel(p, x, ground - r, r)


def truck(p: Pen) -> None:
    """A cab and a load area: box, flatbed or tipper."""
    r, ground = p.uniform(0.065, 0.085), 0.82
    bottom = ground - r
    cab = p.uniform(0.22, 0.28)
    split, roof, load = 1 - cab, p.uniform(0.32, 0.42), p.uniform(0.2, 0.34)
    # load area
    kind = p.integer(0, 2)
    if kind == 0:
        p.box(0.01, load, split - 0.015, bottom - 0.04, r=0.01)
        p.box(0.01, load, split - 0.015, load + 0.025, p.shade(0.7))
    elif kind == 1:
        p.box(0.01, bottom - 0.15, split - 0.015, bottom - 0.04)
        for k in range(4):
            p.box(0.02 + k * 0.17, bottom - 0.14, 0.035 + k * 0.17, bottom - 0.05, p.shade(0.6))
    else:
        p.poly([(0.0, load + 0.12), (split - 0.02, load + 0.05), (split - 0.05, bottom - 0.04), (0.06, bottom - 0.04)])
        p.line([(0.03, load + 0.13), (split - 0.03, load + 0.06)], 0.02, p.shade(0.65))
    # cab, chassis, lamp and wheels
    p.poly([(split, bottom), (split, roof), (0.9, roof), (0.975, roof + 0.17), (0.99, roof + 0.2), (0.99, bottom)])
    p.poly([(split + 0.05, roof + 0.04), (0.885, roof + 0.04), (0.95, roof + 0.17), (split + 0.05, roof + 0.17)], GLASS)
    p.box(0.02, bottom - 0.045, 0.99, bottom, DARK)
    p.box(0.955, bottom - 0.11, 0.992, bottom - 0.07, AMBER)
    for x in (0.14, 0.29 if p.chance(0.6) else 0.14, 0.86):
        _wheel(p, x, ground - r, r)


def bus(p: Pen) -> None:
    """Single or double decker."""
    decks = 2 if p.chance(0.3) else 1
    r, ground = p.uniform(0.055, 0.07), 0.78
    bottom = ground - r * 0.8
    top = bottom - (0.46 if decks == 2 else p.uniform(0.27, 0.34))
    p.box(0.01, top, 0.99, bottom, r=0.04)
    count = p.integer(5, 7)
    for deck in range(decks):
        y = top + 0.05 + deck * 0.2
        _windows(p, 0.05, 0.84, y, y + 0.1, count, 0.015)
    p.box(0.87, top + 0.06, 0.985, bottom - 0.12, GLASS, 0.015)
    p.box(0.78, bottom - 0.15, 0.84, bottom - 0.01, GLASS)
    if p.chance(0.6):
        p.box(0.01, bottom - 0.09, 0.99, bottom - 0.075, p.trim)
    p.box(0.965, bottom - 0.06, 0.992, bottom - 0.03, AMBER)
    for x in (0.2, 0.72):
        _wheel(p, x, ground - r, r)


def train(p: Pen) -> None:
    """A steam locomotive."""
    ground = 0.8
    cab, funnel = p.uniform(0.25, 0.32), p.uniform(0.68, 0.8)
    top = p.uniform(0.22, 0.3)
    p.box(0.06, top, cab + 0.06, 0.68)
    p.box(0.02, top - 0.04, cab + 0.1, top + 0.015, p.shade(0.6), 0.01)
    p.box(0.12, top + 0.07, cab, top + 0.19, GLASS, 0.01)
    p.box(cab, 0.42, 0.92, 0.66, r=0.05)
    for x in (cab + 0.15, cab + 0.32):
        p.box(x, 0.42, x + 0.018, 0.66, p.shade(0.6))
    p.poly([(funnel - 0.035, 0.43), (funnel - 0.06, 0.2), (funnel + 0.06, 0.2), (funnel + 0.035, 0.43)], DARK)
    p.oval(cab + 0.2, 0.42, 0.05, 0.055, p.trim)
    p.box(0.03, 0.65, 0.95, 0.7, DARK)
    p.poly([(0.88, 0.68), (0.94, 0.68), (0.995, 0.79), (0.88, 0.79)], p.shade(0.7))
    p.oval(0.93, 0.5, 0.03, paint=AMBER)
    for x, r in ((0.16, 0.1), (0.38, 0.1), (0.6, 0.075), (0.77, 0.075)):
        _wheel(p, x, ground - r, r)


def boat(p: Pen) -> None:
    """A sailing boat."""
    deck, mast = p.uniform(0.7, 0.75), p.uniform(0.42, 0.52)
    bow = p.uniform(0.04, 0.12)
    # mast and sails
    p.line([(mast, 0.03), (mast, deck)], 0.02, (120, 86, 50))
    white = p.chance(0.5)
    sail = LIGHT if white else p.shade(1.35)
    p.poly([(mast + 0.025, 0.06), (mast + 0.025, deck - 0.05), (p.uniform(0.85, 0.95), deck - 0.05)], sail)
    p.poly(
        [(mast - 0.03, 0.12), (mast - 0.03, deck - 0.06), (p.uniform(0.1, 0.2), deck - 0.06)],
        sail if p.chance(0.5) else p.trim,
    )
    p.blob(
        [
            (0.02, deck),
            (0.5, deck + 0.015),
            (0.99, deck - 0.015),
            (0.9 - bow, deck + 0.16),
            (0.5, deck + 0.2),
            (0.16 + bow, deck + 0.17),
        ]
    )
    # stripe on the hull
    p.line([(0.06, deck + 0.04), (0.93, deck + 0.03)], 0.02, p.shade(0.65))


def ship(p: Pen) -> None:
    """A steamer with funnels."""
    deck = 0.62
    p.poly([(0.01, deck), (0.99, deck - 0.05), (0.9, deck + 0.2), (0.12, deck + 0.2)])
    p.poly([(0.06, deck + 0.13), (0.935, deck + 0.11), (0.9, deck + 0.2), (0.12, deck + 0.2)], p.shade(0.6))
    p.box(0.16, deck - 0.12, 0.8, deck, LIGHT)
    p.box(0.26, deck - 0.21, 0.68, deck - 0.11, LIGHT)
    for k in range(6):
        p.oval(0.22 + k * 0.105, deck - 0.06, 0.022, paint=(70, 100, 130))
    for k in range(count := p.integer(1, 3)):
        x = 0.46 + (k - (count - 1) / 2) * 0.15
        p.poly([(x - 0.045, deck - 0.2), (x - 0.055, deck - 0.42), (x + 0.03, deck - 0.42), (x + 0.04, deck - 0.2)])
        p.box(x - 0.055, deck - 0.42, x + 0.03, deck - 0.37, DARK)


def airplane(p: Pen) -> None:
    """A jet from the side."""
    y, thick = 0.5, p.uniform(0.075, 0.095)
    p.poly([(0.04, y - 0.02), (0.0, y - 0.27), (0.09, y - 0.27), (0.23, y - 0.05)])
    p.blob(
        [
            (0.01, y - 0.03),
            (0.25, y - thick),
            (0.75, y - thick),
            (0.92, y - 0.05),
            (0.995, y + 0.015),
            (0.9, y + 0.06),
            (0.7, y + thick),
            (0.3, y + thick * 0.8),
        ]
    )
    # wings and tailplane
    p.poly([(0.62, y + 0.015), (0.48, y + 0.015), (0.24, y + p.uniform(0.27, 0.33)), (0.34, y + 0.28)], p.shade(0.7))
    p.poly([(0.58, y - thick + 0.01), (0.46, y - thick + 0.01), (0.32, y - 0.24), (0.39, y - 0.24)], p.shade(0.8))
    p.poly([(0.02, y), (0.16, y), (0.03, y + 0.1), (-0.02, y + 0.1)], p.shade(0.7))
    # windows
    for k in range(p.integer(6, 9)):
        p.oval(0.26 + k * 0.062, y - 0.025, 0.014, 0.018, GLASS)
    p.poly([(0.86, y - 0.055), (0.92, y - 0.045), (0.95, y - 0.01), (0.86, y - 0.01)], (60, 80, 100))


def helicopter(p: Pen) -> None:
    """Cabin, tail and rotors."""
    p.poly([(0.4, 0.42), (0.04, 0.37), (0.04, 0.42), (0.42, 0.58)])
    p.poly([(0.02, 0.25), (0.09, 0.25), (0.1, 0.44), (0.03, 0.42)])
    p.blob([(0.36, 0.48), (0.48, 0.36), (0.72, 0.35), (0.92, 0.47), (0.94, 0.6), (0.8, 0.68), (0.5, 0.67)])
    p.blob([(0.68, 0.42), (0.76, 0.4), (0.89, 0.49), (0.91, 0.56), (0.7, 0.56)], GLASS)
    p.box(0.5, 0.43, 0.62, 0.55, GLASS, 0.02)
    p.box(0.6, 0.27, 0.64, 0.37, DARK)
    p.box(0.22, 0.25, 0.99, 0.28, (70, 72, 78), 0.015)
    p.oval(0.055, 0.36, 0.05, paint=METAL)
    for x in (0.52, 0.78):
        p.line([(x, 0.66), (x, 0.76)], 0.018, DARK)
    p.line([(0.4, 0.77), (0.92, 0.77)], 0.025, DARK)


def rocket(p: Pen) -> None:
    """Pointing up, with fins and a flame."""
    # flame and fins
    w = p.uniform(0.13, 0.17)
    p.blob([(0.5, 0.86), (0.44, 0.8), (0.5, 0.99), (0.56, 0.8)], (250, 150, 40))
    for side in (-1, 1):
        p.poly(
            [
                (0.5 + side * w * 0.8, 0.52),
                (0.5 + side * (w + p.uniform(0.11, 0.14)), 0.8),
                (0.5 + side * w * 0.6, 0.76),
            ],
            p.trim,
        )
    p.blob(
        [
            (0.5, 0.02),
            (0.5 + w * 0.75, 0.22),
            (0.5 + w, 0.45),
            (0.5 + w * 0.75, 0.8),
            (0.5 - w * 0.75, 0.8),
            (0.5 - w, 0.45),
            (0.5 - w * 0.75, 0.22),
        ]
    )
    # window and nozzle
    p.oval(0.5, 0.36, w * 0.55, paint=METAL)
    p.oval(0.5, 0.36, w * 0.42, paint=GLASS)
    p.box(0.5 - w * 0.7, 0.79, 0.5 + w * 0.7, 0.83, DARK)


def bicycle(p: Pen) -> None:
    """Two wheels and a frame."""
    r, y = p.uniform(0.19, 0.22), 0.66
    left, right, t = (0.23, y), (0.77, y), p.uniform(0.038, 0.05)
    for x, _ in (left, right):
        p.arc(x, y, r, r, (0, 360), 0.03, DARK)
        p.oval(x, y, 0.025, paint=METAL)
    crank, seat, head = (0.46, y), (0.38, 0.37), (0.68, 0.33)
    p.line([left, seat, head, crank, left], t)
    p.line([seat, crank], t)
    p.line([right, head, (head[0] - 0.02, 0.24)], t)
    p.line([(head[0] - 0.03, 0.24), (0.76, 0.22)], 0.03, DARK)
    p.line([(0.31, 0.34), (0.44, 0.34)], 0.045, DARK)
    p.oval(*crank, 0.04, paint=METAL)


def tractor(p: Pen) -> None:
    """Big wheel at the back, cab, bonnet."""
    big = p.uniform(0.21, 0.24)
    p.box(0.4, 0.43, 0.95, 0.68, r=0.04)
    p.box(0.14, 0.16, 0.5, 0.66)
    p.box(0.19, 0.22, 0.45, 0.43, GLASS)
    p.box(0.1, 0.12, 0.54, 0.17, p.shade(0.65), 0.02)
    p.box(0.72, 0.2, 0.755, 0.44, DARK)
    for k in range(3):
        p.box(0.84, 0.48 + k * 0.05, 0.93, 0.5 + k * 0.05, p.shade(0.55))
    _wheel(p, 0.25, 0.9 - big, big)
    _wheel(p, 0.8, 0.78, 0.12)


def motorcycle(p: Pen) -> None:
    """With a rider or without."""
    r, y = p.uniform(0.16, 0.18), 0.72
    for x in (0.2, 0.8):
        p.oval(x, y, r, paint=DARK)
        p.oval(x, y, r * 0.6, paint=METAL)
    # fork and handlebar
    p.line([(0.8, y), (0.66, 0.34)], 0.035, METAL)
    p.line([(0.6, 0.32), (0.72, 0.31)], 0.03, DARK)
    p.blob(
        [
            (0.14, 0.5),
            (0.3, 0.47),
            (0.48, 0.5),
            (0.56, 0.4),
            (0.72, 0.42),
            (0.74, 0.54),
            (0.6, 0.7),
            (0.36, 0.7),
            (0.2, 0.58),
        ]
    )
    # mudguard, seat, lamp and exhaust
    p.blob([(0.66, 0.52), (0.8, 0.5), (0.97, 0.62), (0.84, 0.58)])
    p.blob([(0.22, 0.47), (0.42, 0.48), (0.44, 0.53), (0.2, 0.52)], DARK)
    p.oval(0.75, 0.42, 0.035, 0.045, AMBER)
    p.line([(0.05, 0.74), (0.45, 0.74)], 0.045, METAL)
    # rider
    if p.chance(0.3):
        p.line([(0.36, 0.48), (0.42, 0.24), (0.64, 0.33)], 0.09, p.trim)
        p.line([(0.36, 0.48), (0.52, 0.5), (0.48, 0.72)], 0.08, (60, 70, 100))
        p.oval(0.45, 0.14, 0.09, paint=p.trim)
        p.oval(0.49, 0.15, 0.05, 0.04, SKIN)


DRAWINGS = {
    f.__name__: f
    for f in (car, truck, bus, train, boat, ship, airplane, helicopter, rocket, bicycle, tractor, motorcycle)
}
