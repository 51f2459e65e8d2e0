"""The same object in another colour: the part that has its main hue is moved to the hue of a colour word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from uniref_scenes.sprite import ColourShares, Sprite, make_sprite, solid
from uniref_scenes.types import Float32Array, Float64Array, Rng, UInt8Array

_WINDOW = 26  # half width of a main hue, of 256 around the circle
_SATURATED, _BRIGHT = 75, 85  # from which a pixel counts for a hue, of 255: not shades of white, not tyres
_TINGED, _DARK = 45, 40  # from which it belongs to the part that has that hue
_SHARE, _RIVAL = 0.4, 0.5  # an object's main hue covers so much of it; any other at most this part of that
_GLASS, _ALL_BLUE = (136, 180), 0.6  # hues of panes; share from which an object with panes is itself so
_CRIMSON, _DEEP = (230, 242), 150  # hues, and from which saturation
_KEPT = 0.6  # part of the hues' spread that stays

_TARGETS: Mapping[str, tuple[float, float, float]] = {
    "red": (254, 225, 215),
    "orange": (20, 225, 245),
    "yellow": (36, 215, 248),
    "green": (88, 180, 165),
    "blue": (154, 190, 215),
    "purple": (196, 165, 180),
    "pink": (238, 100, 248),
    "brown": (15, 175, 118),
    "white": (30, 8, 248),
    "gray": (150, 10, 150),
    "black": (170, 30, 38),
}
"""Mean hue, saturation and value, 0..255, that an object gets for each word."""


@dataclass(frozen=True)
class MainHueRegion:
    """The part of an image that has its main hue."""

    mask: UInt8Array
    """[H, W], 0..255, soft at its edge."""
    mean: tuple[float, float, float]
    """Hue, saturation and value, 0..255."""


def body_of(image: Image.Image, glazed: bool = False) -> MainHueRegion | None:
    """The main hue's part of an RGBA image, or None where no hue prevails.

    Args:
        image: RGBA.
        glazed: Whether it has panes: a car is not called blue for its windows.
    """
    pixels = np.asarray(image)
    hue, saturation, value = np.moveaxis(np.asarray(image.convert("RGB").convert("HSV")).astype(np.int16), -1, 0)
    opaque = solid(pixels[..., 3])
    count = max(int(opaque.sum()), 1)
    strong = opaque & (saturation >= _SATURATED) & (value >= _BRIGHT)
    histogram = np.bincount(hue[strong], minlength=256).astype(np.float64)
    panes = float(histogram[slice(*_GLASS)].sum())
    if glazed and panes < _ALL_BLUE * count:
        histogram[slice(*_GLASS)] = 0
        count -= int(panes)
    around = _around(histogram)
    peak = int(around.argmax())
    rivals = _around(np.where(np.abs(_apart(np.arange(256), peak)) <= _WINDOW + 8, 0, histogram))
    if around[peak] < _SHARE * count or rivals.max() > _RIVAL * around[peak]:
        return None
    near = opaque & (saturation >= _TINGED) & (value >= _DARK) & (np.abs(_apart(hue, peak)) <= _WINDOW)
    mean = (peak + float(_apart(hue[near], peak).mean())) % 256
    soft = Image.fromarray(near * np.uint8(255)).filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.BoxBlur(0.6))
    return MainHueRegion(np.asarray(soft), (mean, float(saturation[near].mean()), float(value[near].mean())))


def _around(histogram: Float64Array) -> Float64Array:
    """How many are within the window of each hue."""
    around = np.concatenate([histogram[-_WINDOW:], histogram, histogram[:_WINDOW]])
    return np.convolve(around, np.ones(2 * _WINDOW + 1), "valid")


def _apart(hue: npt.NDArray[np.generic], other: float) -> Float32Array:
    """Signed difference around the circle."""
    return (np.asarray(hue, np.float32) - np.float32(other) + 128) % 256 - 128


def coloured(image: Image.Image, body: MainHueRegion | None) -> Sprite:
    """A sprite whose colour is named by its main hue's part, where it has one."""
    found = make_sprite(image, None, None if body is None else Image.fromarray(body.mask))
    if body is None or not _is_crimson(body):
        return found
    clear = found.body.clear | {"red": 0.0, "pink": 0.0}
    return replace(found, body=ColourShares(clear, found.body.possible | {"red": 1.0, "pink": 1.0}))


def _is_crimson(body: MainHueRegion) -> bool:
    """Whether some would call it red and others pink: a deep colour between both, which these images like."""
    hue, saturation, _ = body.mean
    return _CRIMSON[0] <= hue <= _CRIMSON[1] and saturation >= _DEEP


def recoloured(image: Image.Image, body: MainHueRegion, word: str, rng: Rng | None = None) -> Sprite:
    """The image with its main hue made that of a word, measured anew: other words may fit better.

    Args:
        image: RGBA.
        body: Its main hue's part.
        word: One of the eleven.
        rng: Varies the shade.
    """
    target = np.array(_TARGETS[word], np.float32)
    if rng is not None:
        target += np.array([5, 0.1 * target[1], 0.08 * target[2]]) * rng.uniform(-1, 1, 3)
    hsv = np.asarray(image.convert("RGB").convert("HSV")).astype(np.float32)
    new = np.empty_like(hsv)
    new[..., 0] = (target[0] + _KEPT * _apart(hsv[..., 0], body.mean[0])) % 256
    new[..., 1] = hsv[..., 1] * (target[1] / body.mean[1])
    new[..., 2] = hsv[..., 2] * (target[2] / body.mean[2])
    rgb = Image.fromarray(new.clip(0, 255).astype(np.uint8), "HSV").convert("RGB")
    mixed = Image.composite(rgb, image.convert("RGB"), Image.fromarray(body.mask))
    mixed.putalpha(image.getchannel("A"))
    return make_sprite(mixed, None, Image.fromarray(body.mask))
