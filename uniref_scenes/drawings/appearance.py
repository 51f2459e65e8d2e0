"""How a drawn object looks: its appearance as a few choices, and the sprite that is drawn from them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from uniref_scenes.drawings import DRAWINGS
from uniref_scenes.drawings.pen import LIGHT, Pen, tint
from uniref_scenes.sprite import Sprite, make_sprite, random_colour, visible_box, with_margin
from uniref_scenes.types import RGB, Float32Array, Rng

PATTERNS = ("plain", "striped", "dotted", "checked", "speckled")
FINISHES = ("flat", "lit", "round", "outlined")


@dataclass(frozen=True)
class Appearance:
    """Everything that decides how an object looks."""

    noun: str
    style: int
    """Decides its proportions."""
    colour: str
    """Colour word of its main colour, as intended; expressions use what is measured."""
    pattern: str = "plain"
    """One of `PATTERNS`."""
    finish: str = "flat"
    """One of `FINISHES`."""
    seed: int = 0
    """Decides the exact shade and where the pattern begins."""


def draw_sprite(appearance: Appearance, side: int) -> Sprite:
    """The object, at most `side` pixels wide and high. The same arguments always give the same sprite."""
    # drawn at twice the size, with random numbers of its own for the proportions
    style = np.random.default_rng([zlib.crc32(appearance.noun.encode()), appearance.style])
    rng = np.random.default_rng([appearance.seed, 17])
    body = random_colour(rng, appearance.colour)
    texture = _texture(appearance.pattern, body, 2 * side, rng)
    trims = [word for word in ("red", "blue", "yellow", "white", "black", "green") if word != appearance.colour]
    pen = Pen(2 * side, style, body, texture, random_colour(rng, trims[int(rng.integers(len(trims)))]))
    DRAWINGS[appearance.noun](pen)
    # at its size, under light, and with an outline or a margin
    image = pen.image.reduce(2)
    box = visible_box(image)
    named = pen.named.reduce(2).crop(box)
    image = _lit(image.crop(box), appearance.finish, rng)
    return make_sprite(_outlined(image) if appearance.finish == "outlined" else with_margin(image), image, named)


def _texture(pattern: str, body: RGB, side: int, rng: Rng) -> Image.Image | None:
    """An RGB image of the body colour with a second colour on about a third of it; None where it is plain."""
    if pattern == "plain":
        return None
    # the second colour, and coordinates along and across the pattern
    light = sum(body) > 420
    second = np.array(tint(body, 0.45) if light or rng.random() < 0.4 else LIGHT, np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    angle = float(rng.choice([0, 90, 45, -45]))
    a, b = _turned(x, y, angle)
    period, shift = float(rng.uniform(0.12, 0.19)), float(rng.random())
    # which pixels have the second colour
    if pattern == "striped":
        on = (a / period + shift) % 1 < 0.36
    elif pattern == "dotted":
        on = np.hypot((a / period + shift) % 1 - 0.5, (b / period + shift) % 1 - 0.5) < 0.31
    elif pattern == "checked":
        a, b = _turned(x, y, 0)
        on = ((a / period + shift) % 1 < 0.5) ^ ((b / period + shift) % 1 < 0.5)
        second = np.array(tint(body, 0.62 if light else 1.55), np.float32)
    else:
        noise = rng.random((side // 6 + 1, side // 6 + 1)) < 0.2
        on = np.kron(noise, np.ones((6, 6), bool))[:side, :side]
        second = np.array(tint(body, 0.7), np.float32)
    pixels = np.where(on[..., None], second, np.array(body, np.float32))
    return Image.fromarray(pixels.astype(np.uint8))


def _turned(x: Float32Array, y: Float32Array, angle: float) -> tuple[Float32Array, Float32Array]:
    """Coordinates along axes that are turned by an angle in degrees."""
    c, s = np.float32(np.cos(np.radians(angle))), np.float32(np.sin(np.radians(angle)))
    return x * c + y * s, y * c - x * s


def _lit(image: Image.Image, finish: str, rng: Rng) -> Image.Image:
    """The image under light from above (`lit`) or from one point (`round`), else as it is."""
    if finish not in ("lit", "round"):
        return image
    pixels = np.asarray(image).astype(np.float32)
    h, w = pixels.shape[:2]
    y, x = np.linspace(0, 1, h, dtype=np.float32)[:, None], np.linspace(0, 1, w, dtype=np.float32)[None]
    if finish == "lit":
        light = 1.12 - 0.34 * y + np.float32(rng.uniform(-0.15, 0.15)) * (x - 0.5)
    else:
        light = 1.18 - 0.5 * np.hypot(x - rng.uniform(0.25, 0.5), y - rng.uniform(0.2, 0.4)).astype(np.float32)
    pixels[..., :3] *= light[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")


def _outlined(image: Image.Image) -> Image.Image:
    """The image with a dark line around it."""
    grown = Image.new("L", (image.width + 4, image.height + 4))
    grown.paste(image.getchannel("A"), (2, 2))
    grown = grown.filter(ImageFilter.MaxFilter(3 if max(image.size) < 160 else 5))
    ink = Image.new("RGBA", grown.size, (28, 26, 30, 0))
    ink.putalpha(grown)
    ink.alpha_composite(image, (2, 2))
    return ink
