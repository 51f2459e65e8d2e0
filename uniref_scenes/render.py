"""Pasting sprites onto a background, with the exact masks of what stays visible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from uniref_scenes.layout import Thing
from uniref_scenes.sprite import solid

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Bar:
    """A vertical bar in front of everything; it hides but has no name."""

    left: int
    right: int
    pixels: UInt8
    """RGB [H, right - left, 3]."""


@dataclass(frozen=True)
class Effects:
    """What is done to the whole picture, the same in every frame of a clip."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    lift: float = 0.0
    blur: float = 0.0
    """Pixels."""
    noise: float = 0.0
    """Standard deviation, grey levels."""
    shadow: float = 0.0
    """Strength 0..1 of the objects' drop shadows."""
    soft: bool = False
    """Soften the objects' edges by a pixel."""


@dataclass
class Mips:
    """A sprite at its own and smaller sizes."""

    levels: list[Image.Image] = field(default_factory=list)

    def at(self, scale: float) -> tuple[Image.Image, float]:
        """The level to sample at a scale, and the scale that remains."""
        number = 0
        while scale < 0.6 and number < 4:
            number, scale = number + 1, scale * 2
        while len(self.levels) <= number:
            self.levels.append(self.levels[-1].reduce(2))
        return self.levels[number], scale


def render(
    ground: Sequence[UInt8], things: Sequence[Thing], effects: Effects, rng: np.random.Generator, bar: Bar | None = None
) -> tuple[list[UInt8], list[UInt8]]:
    """Draw a clip.

    Args:
        ground: The background of every frame, uint8 RGB [H, W, 3].
        things: Objects, the furthest first.
        effects: Applied to every frame.
        rng: Noise.
        bar: Something in front of the objects.

    Returns:
        Frames, uint8 RGB [H, W, 3], and label maps, uint8 [H, W]: 0, or 1 + the position in `things` of the object
        that covers at least half of the pixel and is nearest.
    """
    mips = [Mips([thing.sprite.picture]) for thing in things]
    tones = [min(255, max(0, round(v * gain + effects.lift))) for gain in effects.gain for v in range(256)]
    frames, labels = [], []
    for t, back in enumerate(ground):
        picture = Image.fromarray(back)
        label = np.zeros(back.shape[:2], np.uint8)
        for number, thing in enumerate(things, start=1):
            _paste(picture, label, thing, mips[number - 1], t, number, effects)
        if bar is not None:
            picture.paste(Image.fromarray(bar.pixels), (bar.left, 0))
            label[:, bar.left : bar.right] = 0
        frames.append(_photographed(picture, effects, tones, rng))
        labels.append(label)
    return frames, labels


def _paste(picture: Image.Image, label: UInt8, thing: Thing, mips: Mips, t: int, number: int, effects: Effects) -> None:
    placed = place_sprite(thing, mips, t, picture.size)
    if placed is None:
        return
    patch, x, y = placed
    alpha = patch.getchannel("A")
    if effects.soft:
        alpha = alpha.filter(ImageFilter.BoxBlur(0.7))
    if effects.shadow:
        _shadow(picture, alpha, x, y, effects.shadow)
    picture.paste(patch.convert("RGB"), (x, y), alpha)
    inside = solid(np.asarray(alpha))
    label[y : y + patch.height, x : x + patch.width][inside] = number


def place_sprite(thing: Thing, mips: Mips, t: int, size: tuple[int, int]) -> tuple[Image.Image, int, int] | None:
    """The part of an object inside the picture of `size` (width, height) in frame t, and its corner; or None."""
    track, full = thing.track, thing.sprite.picture
    source, scale = mips.at(float(track.size[t]) / max(full.size))
    a = math.radians(float(track.angle[t]))
    c, s = math.cos(a), math.sin(a)
    half_w, half_h = source.width * scale / 2, source.height * scale / 2
    reach_x, reach_y = abs(c) * half_w + abs(s) * half_h + 1, abs(s) * half_w + abs(c) * half_h + 1
    x, y = float(track.x[t]), float(track.y[t])
    left, top = max(0, math.floor(x - reach_x)), max(0, math.floor(y - reach_y))
    right, bottom = min(size[0], math.ceil(x + reach_x)), min(size[1], math.ceil(y + reach_y))
    if right <= left or bottom <= top:
        return None
    k = (-1.0 if track.flip else 1.0) / scale
    # output pixel to source: turn back around the centre, scale, mirror
    affine = (
        *(c * k, s * k, source.width / 2 + k * (c * (left - x) + s * (top - y))),
        *(-s / scale, c / scale, source.height / 2 + (-s * (left - x) + c * (top - y)) / scale),
    )
    patch = source.transform((right - left, bottom - top), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return patch, left, top


def _shadow(picture: Image.Image, alpha: Image.Image, x: int, y: int, strength: float) -> None:
    offset = max(2, alpha.height // 25)
    dark = alpha.filter(ImageFilter.BoxBlur(offset)).point([round(a * strength) for a in range(256)])
    picture.paste((0, 0, 0), (x + offset, y + offset, x + offset + alpha.width, y + offset + alpha.height), dark)


def _photographed(picture: Image.Image, effects: Effects, tones: list[int], rng: np.random.Generator) -> UInt8:
    if effects.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(effects.blur))
    pixels = np.asarray(picture.point(tones))
    if not effects.noise:
        return pixels
    noise = rng.normal(0, effects.noise, (*pixels.shape[:2], 1)).astype(np.float32)
    return (pixels + noise).clip(0, 255).astype(np.uint8)
