"""The same object in another colour: the region of its main hue is moved to the hue of another colour word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from uniref_scenes.sprite import ColourShares, Sprite, make_sprite, solid
from uniref_scenes.types import Float32Array, Float64Array, Rng, UInt8Array

# hue, saturation and value are 0..255
_WINDOW = 26  # half width of a main hue
_SATURATED, _BRIGHT = 75, 85  # saturation and value from which a pixel counts for a hue: not shades of white, not tyres
_TINGED, _DARK = 45, 40  # from which it belongs to the region of that hue
_SHARE, _RIVAL = 0.4, 0.5  # least share of the object that its main hue covers; largest share of that of another hue
_GLASS, _ALL_BLUE = (136, 180), 0.6  # hues of panes; share from which the object itself has such a hue
_CRIMSON, _DEEP = (230, 242), 150  # hues of crimson, and the saturation from which it is one
_KEPT = 0.6  # share of the hues' spread that stays

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
"""Mean hue, saturation and value of an object in each colour."""


@dataclass(frozen=True)
class MainHueRegion:
    """The region of an image that has its main hue."""

    mask: UInt8Array
    """uint8 [H, W], 0..255, soft at its edge."""
    mean: tuple[float, float, float]
    """Hue, saturation and value, 0..255."""


def main_hue_region(image: Image.Image, glazed: bool = False) -> MainHueRegion | None:
    """The region of an image's main hue, or None where no hue prevails.

    Args:
        image: RGBA.
        glazed: Whether it shows panes: a car is not called blue for its windows.
    """
    pixels = np.asarray(image)
    hue, saturation, value = np.moveaxis(np.asarray(image.convert("RGB").convert("HSV")).astype(np.int16), -1, 0)
    opaque = solid(pixels[..., 3])
    count = max(int(opaque.sum()), 1)
    # histogram of the hues, without panes
    strong = opaque & (saturation >= _SATURATED) & (value >= _BRIGHT)
    histogram = np.bincount(hue[strong], minlength=256).astype(np.float64)
    panes = float(histogram[slice(*_GLASS)].sum())
    if glazed and panes < _ALL_BLUE * count:
        histogram[slice(*_GLASS)] = 0
        count -= int(panes)
    # the hue with most pixels around it, unless it covers too little or another one rivals it
    around = _around(histogram)
    peak = int(around.argmax())
    rivals = _around(np.where(np.abs(_apart(np.arange(256), peak)) <= _WINDOW + 8, 0, histogram))
    if around[peak] < _SHARE * count or rivals.max() > _RIVAL * around[peak]:
        return None
    # its region, also where the hue is weaker
    near = opaque & (saturation >= _TINGED) & (value >= _DARK) & (np.abs(_apart(hue, peak)) <= _WINDOW)
    mean = (peak + float(_apart(hue[near], peak).mean())) % 256
    soft = Image.fromarray(near * np.uint8(255)).filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.BoxBlur(0.6))
    return MainHueRegion(np.asarray(soft), (mean, float(saturation[near].mean()), float(value[near].mean())))


def _around(histogram: Float64Array) -> Float64Array:
    """Number of pixels within the window of each hue, [256]."""
    around = np.concatenate([histogram[-_WINDOW:], histogram, histogram[:_WINDOW]])
    return np.convolve(around, np.ones(2 * _WINDOW + 1), "valid")


def _apart(hue: npt.NDArray[np.generic], other: float) -> Float32Array:
    """Signed difference of hues around the circle, -128..127."""
    return (np.asarray(hue, np.float32) - np.float32(other) + 128) % 256 - 128


def coloured(image: Image.Image, region: MainHueRegion | None) -> Sprite:
    """A sprite whose colour is named by the region of its main hue, where it has one."""
    sprite = make_sprite(image, None, None if region is None else Image.fromarray(region.mask))
    if region is None or not _is_crimson(region):
        return sprite
    clear = sprite.body.clear | {"red": 0.0, "pink": 0.0}
    return replace(sprite, body=ColourShares(clear, sprite.body.possible | {"red": 1.0, "pink": 1.0}))


def _is_crimson(region: MainHueRegion) -> bool:
    """Whether some would call it red and others pink: a deep colour between both, which these images like."""
    hue, saturation, _ = region.mean
    return _CRIMSON[0] <= hue <= _CRIMSON[1] and saturation >= _DEEP


def recoloured(image: Image.Image, region: MainHueRegion, word: str, rng: Rng | None = None) -> Sprite:
    """The image with its main hue moved to that of a colour word. It is measured again: another word may fit better.

    Args:
        image: RGBA.
        region: Of its main hue.
        word: One of `COLOUR_WORDS`.
        rng: Varies the shade.
    """
    # mean hue, saturation and value to reach
    target = np.array(_TARGETS[word], np.float32)
    if rng is not None:
        target += np.array([5, 0.1 * target[1], 0.08 * target[2]]) * rng.uniform(-1, 1, 3)
    # every pixel moved with the mean; of the result the region is used
    hsv = np.asarray(image.convert("RGB").convert("HSV")).astype(np.float32)
    new = np.empty_like(hsv)
    new[..., 0] = (target[0] + _KEPT * _apart(hsv[..., 0], region.mean[0])) % 256
    new[..., 1] = hsv[..., 1] * (target[1] / region.mean[1])
    new[..., 2] = hsv[..., 2] * (target[2] / region.mean[2])
    rgb = Image.fromarray(new.clip(0, 255).astype(np.uint8), "HSV").convert("RGB")
    mixed = Image.composite(rgb, image.convert("RGB"), Image.fromarray(region.mask))
    mixed.putalpha(image.getchannel("A"))
    return make_sprite(mixed, None, Image.fromarray(region.mask))
