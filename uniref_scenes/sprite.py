"""A named object as a picture with transparency, and how one is drawn from its look."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from uniref_scenes.colour import RGB, ColourShares, measure, random_colour
from uniref_scenes.drawings import DRAWINGS
from uniref_scenes.pen import LIGHT, Pen, tint

PATTERNS = ("plain", "striped", "dotted", "checked", "speckled")
FINISHES = ("flat", "lit", "round", "outlined")
_SOLID = 128  # alpha from which a pixel belongs to the object
_MAIN, _RIVAL = 0.5, 0.25  # share from which a colour is said of an object; below which it is certainly not
_PART = 0.3  # the named part is at least so much of the object, else all of it counts


@dataclass(frozen=True)
class Look:
    """Everything that decides how an object of the drawn kind looks."""

    noun: str
    style: int
    """Decides the proportions."""
    colour: str
    """Basic colour word of its main colour, as meant; what is said is measured."""
    pattern: str = "plain"
    finish: str = "flat"
    seed: int = 0
    """Decides the exact shade and the pattern's position."""


@dataclass(frozen=True)
class Sprite:
    """A picture of one object and the colours that are said of it."""

    picture: Image.Image
    """RGBA, cropped to what is visible but for one pixel."""
    body: ColourShares
    """Of the parts that its colour is named by."""
    whole: ColourShares
    """Of all of it."""

    @property
    def colour(self) -> str | None:
        """The basic colour word that fits, or None where people would differ."""
        word, share = self.body.main
        return word if share >= _MAIN else None

    def could_be(self, word: str) -> bool:
        """Whether someone might call it by this colour."""
        return self.body.possible[word] >= _RIVAL or self.whole.possible[word] >= _RIVAL + 0.05


def draw(look: Look, side: int) -> Sprite:
    """The object, at most `side` pixels wide and high. The same look and side always give the same sprite."""
    style = np.random.default_rng([zlib.crc32(look.noun.encode()), look.style])
    rng = np.random.default_rng([look.seed, 17])
    body = random_colour(rng, look.colour)
    texture = _texture(look.pattern, body, 2 * side, rng)
    trims = [word for word in ("red", "blue", "yellow", "white", "black", "green") if word != look.colour]
    pen = Pen(2 * side, style, body, texture, random_colour(rng, trims[int(rng.integers(len(trims)))]))
    DRAWINGS[look.noun](pen)
    picture = pen.image.reduce(2)
    box = visible_box(picture)
    named = pen.named.reduce(2).crop(box)
    picture = _lit(picture.crop(box), look.finish, rng)
    return sprite(_outlined(picture) if look.finish == "outlined" else with_margin(picture), picture, named)


def sprite(picture: Image.Image, inner: Image.Image | None = None, named: Image.Image | None = None) -> Sprite:
    """A sprite with its colours measured.

    Args:
        picture: RGBA.
        inner: The picture to measure, where it differs.
        named: The part that the colour is named by, "L", of the size of `inner`; everything where it is missing or
            only a small part.
    """
    pixels = np.asarray(inner or picture)
    opaque = solid(pixels[..., 3])
    whole = measure(pixels[opaque][:, :3])
    if named is None:
        return Sprite(picture, whole, whole)
    part = opaque & solid(np.asarray(named))
    few = part.sum() < _PART * max(opaque.sum(), 1)
    return Sprite(picture, whole if few else measure(pixels[part][:, :3]), whole)


def visible_box(picture: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what can be seen."""
    box = picture.getchannel("A").point([255 if a >= 8 else 0 for a in range(256)]).getbbox()
    assert box is not None, "an empty drawing"
    return box


def with_margin(picture: Image.Image) -> Image.Image:
    """With one transparent pixel on every side, so that edges stay smooth when it is turned."""
    margin = Image.new("RGBA", (picture.width + 2, picture.height + 2))
    margin.paste(picture, (1, 1))
    return margin


def solid(alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which pixels belong to an object, by its alpha."""
    return alpha >= _SOLID


def _texture(pattern: str, body: RGB, side: int, rng: np.random.Generator) -> Image.Image | None:
    """A picture of the body colour with a second colour on about a third of it."""
    if pattern == "plain":
        return None
    light = sum(body) > 420
    second = np.array(tint(body, 0.45) if light or rng.random() < 0.4 else LIGHT, np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    angle = float(rng.choice([0, 90, 45, -45]))
    a, b = _turned(x, y, angle)
    period, shift = float(rng.uniform(0.12, 0.19)), float(rng.random())
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


def _turned(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], angle: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    c, s = np.float32(np.cos(np.radians(angle))), np.float32(np.sin(np.radians(angle)))
    return x * c + y * s, y * c - x * s


def _lit(picture: Image.Image, finish: str, rng: np.random.Generator) -> Image.Image:
    """Under light from above or from one point, or as it is."""
    if finish not in ("lit", "round"):
        return picture
    pixels = np.asarray(picture).astype(np.float32)
    h, w = pixels.shape[:2]
    y, x = np.linspace(0, 1, h, dtype=np.float32)[:, None], np.linspace(0, 1, w, dtype=np.float32)[None]
    if finish == "lit":
        light = 1.12 - 0.34 * y + np.float32(rng.uniform(-0.15, 0.15)) * (x - 0.5)
    else:
        light = 1.18 - 0.5 * np.hypot(x - rng.uniform(0.25, 0.5), y - rng.uniform(0.2, 0.4)).astype(np.float32)
    pixels[..., :3] *= light[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")


def _outlined(picture: Image.Image) -> Image.Image:
    grown = Image.new("L", (picture.width + 4, picture.height + 4))
    grown.paste(picture.getchannel("A"), (2, 2))
    grown = grown.filter(ImageFilter.MaxFilter(3 if max(picture.size) < 160 else 5))
    ink = Image.new("RGBA", grown.size, (28, 26, 30, 0))
    ink.putalpha(grown)
    ink.alpha_composite(picture, (2, 2))
    return ink
