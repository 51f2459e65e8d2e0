"""Drawn scenery with a horizon. What it shows besides ground and sky is listed: no expression may refer to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw

from uniref_scenes.backgrounds.patterns import smooth_noise
from uniref_scenes.types import Float32Array, Rng

RGBf = tuple[float, float, float]


class SceneryCanvas:
    """An image that is painted in units of its size: x and y 0..1."""

    def __init__(self, rng: Rng, h: int, w: int) -> None:
        self.rng, self.h, self.w = rng, h, w
        self.pixels: Float32Array = np.zeros((h, w, 3), np.float32)

    def fade(self, y0: float, y1: float, top: RGBf, bottom: RGBf) -> None:
        """A band with a vertical gradient."""
        a, b = round(y0 * self.h), max(round(y1 * self.h), round(y0 * self.h) + 1)
        t = np.linspace(0, 1, b - a, dtype=np.float32)[:, None, None]
        self.pixels[a:b] = np.array(top, np.float32) * (1 - t) + np.array(bottom, np.float32) * t

    def grain(self, y0: float, y1: float, strength: float, cells: int = 24) -> None:
        """Uneven brightness on a band."""
        a, b = round(y0 * self.h), round(y1 * self.h)
        if b > a:
            noise = smooth_noise(self.rng, b - a, self.w, cells, 3)
            self.pixels[a:b] *= (1 + strength * (noise - 0.5))[..., None]

    def shapes(self, draw: Callable[[ImageDraw.ImageDraw], None]) -> None:
        """Shapes in pixels, drawn by PIL."""
        image = Image.fromarray(self.pixels.clip(0, 255).astype(np.uint8))
        draw(ImageDraw.Draw(image))
        self.pixels = np.asarray(image).astype(np.float32)

    def jitter(self, colour: RGBf, spread: float = 12) -> RGBf:
        """A colour near another."""
        r, g, b = (float(np.clip(c + self.rng.normal(0, spread), 0, 255)) for c in colour)
        return (r, g, b)


def _ints(colour: RGBf) -> tuple[int, int, int]:
    return (int(colour[0]), int(colour[1]), int(colour[2]))


def _sky(c: SceneryCanvas, horizon: float) -> None:
    top, low = (
        ((110, 165, 225), (205, 225, 240)),
        ((180, 190, 200), (225, 228, 230)),
        ((240, 190, 150), (250, 225, 190)),
    )[int(c.rng.integers(3))]
    c.fade(0, horizon, c.jitter(top), c.jitter(low))


def street(c: SceneryCanvas) -> float:
    """Facades, pavement and a road with a dashed line."""
    # sky and facades with windows
    rng, pavement = c.rng, float(c.rng.uniform(0.46, 0.54))
    road = pavement + 0.09
    _sky(c, 0.4)

    def facades(draw: ImageDraw.ImageDraw) -> None:
        x = -float(rng.uniform(0, 0.1))
        while x < 1:
            width, top = float(rng.uniform(0.16, 0.3)), float(rng.uniform(0.03, 0.2))
            wall = c.jitter(((200, 185, 165), (175, 140, 120), (190, 195, 200), (215, 205, 180))[int(rng.integers(4))])
            draw.rectangle((x * c.w, top * c.h, (x + width) * c.w, pavement * c.h), fill=_ints(wall))
            pane = _ints(c.jitter((105, 125, 140)))
            for row in np.arange(top + 0.05, pavement - 0.08, 0.1):
                for column in np.arange(x + 0.03, x + width - 0.05, 0.075):
                    draw.rectangle((column * c.w, row * c.h, (column + 0.038) * c.w, (row + 0.058) * c.h), fill=pane)
            x += width

    c.shapes(facades)
    # pavement, road, kerb and line
    c.fade(pavement, road, c.jitter((178, 175, 170), 6), c.jitter((165, 162, 158), 6))
    c.fade(road, 1, c.jitter((98, 100, 104), 6), c.jitter((78, 80, 84), 6))
    c.grain(road, 1, 0.12, 40)

    def marks(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, road * c.h, c.w, (road + 0.014) * c.h), fill=(140, 138, 135))
        y, shift = (road + 1) / 2, float(rng.random()) * 0.2
        for x in np.arange(-shift, 1, 0.2):
            draw.rectangle((x * c.w, (y - 0.008) * c.h, (x + 0.1) * c.w, (y + 0.008) * c.h), fill=(222, 220, 212))

    c.shapes(marks)
    return road


def meadow(c: SceneryCanvas) -> float:
    """Grass under the sky."""
    horizon = float(c.rng.uniform(0.35, 0.5))
    _sky(c, horizon)
    c.fade(horizon, 1, c.jitter((140, 175, 100)), c.jitter((95, 140, 70)))
    c.grain(horizon, 1, 0.35, 48)
    return horizon


def sea(c: SceneryCanvas) -> float:
    """Water with small waves."""
    horizon = float(c.rng.uniform(0.3, 0.45))
    _sky(c, horizon)
    c.fade(horizon, 1, c.jitter((110, 160, 185)), c.jitter((50, 100, 140)))

    def waves(draw: ImageDraw.ImageDraw) -> None:
        for _ in range(60):
            y = float(c.rng.uniform(horizon + 0.02, 1))
            x, length = float(c.rng.random()), 0.02 + 0.06 * (y - horizon)
            draw.line((x * c.w, y * c.h, (x + length) * c.w, y * c.h), fill=_ints(c.jitter((150, 190, 205))), width=1)

    c.shapes(waves)
    return horizon


def room(c: SceneryCanvas) -> float:
    """A wall and a floor."""
    # wall, perhaps with a striped paper
    floor = float(c.rng.uniform(0.5, 0.65))
    wall = c.jitter(((225, 215, 200), (200, 212, 218), (214, 222, 205), (222, 205, 208))[int(c.rng.integers(4))], 8)
    c.fade(0, floor, wall, (wall[0] * 0.93, wall[1] * 0.93, wall[2] * 0.93))
    if c.rng.random() < 0.5:
        stripe = int(c.rng.integers(14, 34))
        c.pixels[: round(floor * c.h), np.arange(c.w) % stripe < stripe // 2] *= 0.96
    # floor with boards, and a skirting board
    wood = c.jitter(((165, 125, 90), (140, 100, 70), (175, 165, 155))[int(c.rng.integers(3))])
    c.fade(floor, 1, wood, (wood[0] * 0.8, wood[1] * 0.8, wood[2] * 0.8))
    c.grain(floor, 1, 0.1, 12)

    def board(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((0, (floor - 0.025) * c.h, c.w, floor * c.h), fill=(236, 232, 226))
        for x in np.linspace(-0.6, 1.6, 14):
            draw.line(
                (x * c.w, c.h, (0.5 + (x - 0.5) * 0.5) * c.w, floor * c.h),
                fill=_ints((wood[0] * 0.7, wood[1] * 0.7, wood[2] * 0.7)),
            )

    c.shapes(board)
    return floor


def hills(c: SceneryCanvas) -> float:
    """Rolling ground in layers."""
    horizon = float(c.rng.uniform(0.4, 0.5))
    _sky(c, 1)
    x = np.arange(c.w) / c.w
    rows = np.arange(c.h)[:, None] / c.h
    for layer in range(3):
        y = horizon + 0.09 * layer + 0.05 * np.sin(2 * np.pi * (x * c.rng.uniform(0.6, 1.6) + c.rng.random()))
        colour = np.array(c.jitter((150 - 28 * layer, 175 - 18 * layer, 130 - 30 * layer)), np.float32)
        c.pixels = np.where((rows > y[None])[..., None], colour, c.pixels)
    c.grain(horizon, 1, 0.15, 30)
    return horizon + 0.25


def night(c: SceneryCanvas) -> float:
    """Dark ground under a dark sky."""
    horizon = float(c.rng.uniform(0.5, 0.65))
    c.fade(0, horizon, c.jitter((18, 22, 50), 6), c.jitter((60, 66, 110), 8))
    c.fade(horizon, 1, c.jitter((60, 66, 78), 6), c.jitter((42, 48, 58), 6))
    c.grain(horizon, 1, 0.25, 40)
    return horizon


def snow(c: SceneryCanvas) -> float:
    """White ground."""
    horizon = float(c.rng.uniform(0.4, 0.55))
    c.fade(0, horizon, c.jitter((170, 190, 215)), c.jitter((215, 222, 230)))
    c.fade(horizon, 1, c.jitter((232, 236, 242), 4), c.jitter((205, 214, 228), 6))
    c.grain(horizon, 1, 0.08, 12)
    return horizon


def desert(c: SceneryCanvas) -> float:
    """Sand with dunes."""
    horizon = float(c.rng.uniform(0.4, 0.5))
    _sky(c, horizon)
    c.fade(horizon, 1, c.jitter((232, 205, 160)), c.jitter((205, 165, 115)))
    rows, columns = np.mgrid[: c.h, : c.w] / np.array([c.h, c.w])[:, None, None]
    ripple = np.sin(2 * np.pi * (rows * 14 + 0.6 * np.sin(2 * np.pi * columns * c.rng.uniform(0.8, 1.8))))
    c.pixels *= np.where(rows > horizon, 1 + 0.04 * ripple, 1)[..., None].astype(np.float32)
    return horizon


def beach(c: SceneryCanvas) -> float:
    """Sky, a strip of water and sand."""
    horizon = float(c.rng.uniform(0.3, 0.4))
    shore = horizon + float(c.rng.uniform(0.12, 0.18))
    _sky(c, horizon)
    c.fade(horizon, shore, c.jitter((60, 130, 170)), c.jitter((130, 190, 200)))
    c.fade(shore, 1, c.jitter((238, 220, 180)), c.jitter((220, 192, 145)))
    c.grain(shore, 1, 0.1, 60)
    return shore + 0.05


def playground(c: SceneryCanvas) -> float:
    """A tiled square before a hedge."""
    edge = float(c.rng.uniform(0.42, 0.52))
    _sky(c, edge - 0.1)
    c.fade(edge - 0.12, edge, c.jitter((88, 120, 78)), c.jitter((66, 98, 60)))
    c.grain(edge - 0.12, edge, 0.5, 60)
    tile = c.jitter((200, 180, 160))
    c.fade(edge, 1, tile, (tile[0] * 0.9, tile[1] * 0.9, tile[2] * 0.9))

    def joints(draw: ImageDraw.ImageDraw) -> None:
        line = _ints((tile[0] * 0.8, tile[1] * 0.8, tile[2] * 0.8))
        for x in np.linspace(-1, 2, 22):
            draw.line((x * c.w, c.h, (0.5 + (x - 0.5) * 0.4) * c.w, edge * c.h), fill=line)
        for k in range(9):
            y = edge + (1 - edge) * (k / 8) ** 1.6
            draw.line((0, y * c.h, c.w, y * c.h), fill=line)

    c.shapes(joints)
    return edge


SCENERY: Mapping[str, tuple[Callable[[SceneryCanvas], float], tuple[str, ...]]] = {
    "street": (street, ("building", "house", "castle", "cottage")),
    "meadow": (meadow, ()),
    "sea": (sea, ()),
    "room": (room, ()),
    "hills": (hills, ("mountain", "peak")),
    "night": (night, ()),
    "snow": (snow, ()),
    "desert": (desert, ("mountain",)),
    "beach": (beach, ()),
    "playground": (playground, ("plant",)),
}
"""How each kind is drawn, and the words that could refer to a part of it."""
