"""A named object as an image with transparency, and the colour words that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref_scenes.types import RGB, BoolArray, Float32Array, Rng, UInt8Array

_ANCHORS: dict[str, tuple[RGB, ...]] = {
    "black": ((0, 0, 0), (25, 25, 25), (35, 35, 42), (40, 32, 30), (22, 36, 30)),
    "white": ((255, 255, 255), (245, 245, 240), (238, 240, 250), (250, 240, 236), (233, 236, 236)),
    "gray": (
        *((128, 128, 128), (90, 90, 90), (165, 165, 165), (200, 200, 200), (110, 118, 125), (150, 145, 140)),
        *((68, 68, 70), (185, 190, 195), (102, 97, 105)),
    ),
    "red": ((220, 20, 30), (180, 15, 25), (255, 40, 40), (150, 12, 22), (230, 60, 50), (200, 40, 60)),
    "orange": ((255, 140, 0), (240, 120, 30), (255, 160, 50), (230, 105, 20), (250, 150, 80)),
    "yellow": ((255, 225, 0), (250, 240, 80), (240, 205, 20), (255, 245, 130), (225, 215, 60)),
    "green": (
        *((30, 150, 50), (80, 190, 70), (20, 90, 40), (130, 200, 60), (60, 120, 50), (0, 200, 100)),
        *((150, 210, 120), (90, 112, 40), (30, 60, 30)),
    ),
    "blue": (
        *((30, 80, 220), (20, 40, 140), (70, 130, 240), (100, 170, 240), (150, 200, 240), (0, 110, 180)),
        *((45, 65, 105), (50, 150, 220), (20, 25, 90)),
    ),
    "purple": ((120, 40, 180), (90, 30, 130), (160, 80, 210), (180, 120, 230), (75, 20, 100), (150, 60, 160)),
    "pink": ((255, 150, 190), (250, 110, 170), (255, 190, 205), (240, 80, 150), (230, 130, 160)),
    "brown": ((120, 70, 30), (92, 56, 26), (150, 95, 50), (72, 42, 22), (110, 62, 45)),
}
_UNNAMED: tuple[RGB, ...] = (
    *((0, 170, 170), (60, 200, 190), (0, 128, 128), (0, 220, 220), (40, 140, 125)),  # between green and blue
    *((205, 35, 165), (235, 50, 200), (140, 20, 90)),  # between pink, purple and red
    *((222, 202, 168), (205, 175, 130), (238, 198, 165), (170, 120, 80)),  # beige, skin
    *((98, 20, 26), (200, 160, 50), (190, 180, 110), (170, 140, 40), (235, 110, 95)),  # maroon, gold, khaki, salmon
    *((165, 155, 200), (150, 170, 190), (130, 150, 130), (160, 130, 125)),  # greyish tints
    *((243, 222, 208), (222, 212, 195), (225, 205, 215), (215, 225, 205)),  # off-white
)
"""Colours that people name in more than one way: they count for no word."""

COLOUR_WORDS: tuple[str, ...] = tuple(_ANCHORS)
"""The eleven basic colour words."""
_RATIO, _NEAR = 1.25, 8.0  # a word is clear where the next one is this much further away, or it is this near (delta E)
_SOLID = 128  # alpha from which a pixel belongs to the object
_SEEN = 8  # alpha from which a pixel can be seen
_MAIN, _RIVAL = 0.5, 0.25  # share from which a colour is said of an object; below which it certainly is not
_PART = 0.3  # share of the object below which the part that names its colour is too small to do so


def to_lab(rgb: npt.NDArray[np.generic]) -> Float32Array:
    """CIELAB (D65) of sRGB values 0..255; [..., 3] to float32 [..., 3]."""
    c = np.asarray(rgb, np.float32) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
    xyz = linear @ matrix.T / np.array([0.9505, 1.0, 1.089], np.float32)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


@cache
def _tables() -> tuple[UInt8Array, npt.NDArray[np.uint16]]:
    """For each of 32^3 colours: position of the clear word (else 11), and bits of the words that someone might say.

    A colour's word is that of the nearest anchor in CIELAB.
    """
    # distance of every colour to the nearest anchor of each word, [32768, 12]
    steps = np.arange(32) * 8 + 4
    lab = to_lab(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3))
    groups = [*_ANCHORS.values(), _UNNAMED]
    distance = np.stack([_nearest(lab, to_lab(np.array(group))) for group in groups], -1)
    # clear words, and possible ones
    best = distance.argmin(-1)
    first, second = np.sort(distance, -1)[:, :2].T
    clear = np.where((second >= _RATIO * first) | (first < _NEAR), best, len(COLOUR_WORDS))
    possible = distance[:, :-1] <= _RATIO * first[:, None] + 3
    bits = (possible * (1 << np.arange(len(COLOUR_WORDS)))).sum(-1)
    return clear.astype(np.uint8), bits.astype(np.uint16)


def _nearest(lab: Float32Array, anchors: Float32Array) -> Float32Array:
    return np.min([np.linalg.norm(lab - anchor, axis=-1) for anchor in anchors], axis=0)


@dataclass(frozen=True)
class ColourShares:
    """Share of an object's pixels per colour word, 0..1."""

    clear: dict[str, float]
    """Pixels that anyone would call so."""
    possible: dict[str, float]
    """Pixels that someone might call so."""

    @property
    def main(self) -> tuple[str, float]:
        """The word with the largest clear share."""
        return max(self.clear.items(), key=lambda item: item[1])


def measure_colours(pixels: UInt8Array) -> ColourShares:
    """Colour words of the pixels of an object, uint8 RGB [n, 3]; n may be 0."""
    clear, bits = _tables()
    cells = pixels.astype(np.int32) >> 3
    codes = (cells[:, 0] << 10) | (cells[:, 1] << 5) | cells[:, 2]
    counts = np.bincount(clear[codes], minlength=len(COLOUR_WORDS) + 1) / max(len(pixels), 1)
    could = bits[codes]
    maybe = [float(((could >> number) & 1).mean()) if len(pixels) else 0.0 for number in range(len(COLOUR_WORDS))]
    return ColourShares(
        dict(zip(COLOUR_WORDS, counts[:-1].tolist(), strict=True)), dict(zip(COLOUR_WORDS, maybe, strict=True))
    )


def clear_word(colour: RGB) -> str | None:
    """The word that anyone would use for a colour, or None."""
    number = int(_tables()[0][(colour[0] >> 3 << 10) | (colour[1] >> 3 << 5) | colour[2] >> 3])
    return COLOUR_WORDS[number] if number < len(COLOUR_WORDS) else None


def random_colour(rng: Rng, word: str) -> RGB:
    """A colour that the word clearly names: around one of its anchors."""
    anchors = _ANCHORS[word]
    spread = 5 if word in ("black", "white", "gray") else 14
    for _ in range(30):
        anchor = np.array(anchors[rng.integers(len(anchors))])
        near = np.clip(anchor + rng.normal(0, spread, 3), 0, 255).astype(int)
        colour = (int(near[0]), int(near[1]), int(near[2]))
        if clear_word(colour) == word:
            return colour
    return anchors[0]


@dataclass(frozen=True)
class Sprite:
    """An image of one object and its colours."""

    image: Image.Image
    """RGBA, cropped to what is visible but for one pixel on every side."""
    body: ColourShares
    """Colours of the part that its colour is named by: not of the tyres of a car."""
    whole: ColourShares
    """Colours of all of it."""

    @property
    def colour(self) -> str | None:
        """The basic colour word that fits, or None where people would differ."""
        word, share = self.body.main
        return word if share >= _MAIN else None

    def could_be(self, word: str) -> bool:
        """Whether someone might call it by this colour."""
        return self.body.possible[word] >= _RIVAL or self.whole.possible[word] >= _RIVAL + 0.05


def make_sprite(image: Image.Image, inner: Image.Image | None = None, named: Image.Image | None = None) -> Sprite:
    """A sprite with its colours measured.

    Args:
        image: RGBA.
        inner: The image to measure, where it is another one (without outline).
        named: The part that the colour is named by, "L", of the size of the measured image; all of it where this is
            None or a small part.
    """
    pixels = np.asarray(inner or image)
    opaque = solid(pixels[..., 3])
    whole = measure_colours(pixels[opaque][:, :3])
    if named is None:
        return Sprite(image, whole, whole)
    part = opaque & solid(np.asarray(named))
    few = part.sum() < _PART * max(opaque.sum(), 1)
    return Sprite(image, whole if few else measure_colours(pixels[part][:, :3]), whole)


def visible_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Box of what can be seen, (x0, y0, x1, y1) pixels."""
    box = image.getchannel("A").point([255 if a >= _SEEN else 0 for a in range(256)]).getbbox()
    assert box is not None, "an empty drawing"
    return box


def with_margin(image: Image.Image) -> Image.Image:
    """The image with a transparent pixel on every side: edges stay smooth when it is turned."""
    margin = Image.new("RGBA", (image.width + 2, image.height + 2))
    margin.paste(image, (1, 1))
    return margin


def solid(alpha: UInt8Array) -> BoolArray:
    """Mask of the pixels that belong to an object, by its alpha, bool [H, W]."""
    return alpha >= _SOLID
