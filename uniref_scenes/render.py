"""Pasting sprites onto a background, with the exact masks of what stays visible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter

from uniref_scenes.motion import SceneObject
from uniref_scenes.sprite import solid
from uniref_scenes.types import Rng, UInt8Array


@dataclass(frozen=True)
class Occluder:
    """A vertical bar in front of everything; it hides objects but is none."""

    left: int
    right: int
    pixels: UInt8Array
    """RGB [H, right - left, 3]."""


@dataclass(frozen=True)
class ImageEffects:
    """What is done to the whole image, the same in every frame of a video."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factor of red, green and blue."""
    lift: float = 0.0
    """Added to all of them, grey levels."""
    blur: float = 0.0
    """Radius, pixels."""
    noise: float = 0.0
    """Standard deviation, grey levels."""
    shadow: float = 0.0
    """Strength 0..1 of the objects' drop shadows."""
    soft: bool = False
    """Soften the objects' edges by a pixel."""


@dataclass
class SpritePyramid:
    """A sprite at its own size and at half, a quarter, ... of it, made when they are needed."""

    levels: list[Image.Image] = field(default_factory=list)

    def at(self, scale: float) -> tuple[Image.Image, float]:
        """The level to sample for a scale, and the scale that remains."""
        number = 0
        while scale < 0.6 and number < 4:
            number, scale = number + 1, scale * 2
        while len(self.levels) <= number:
            self.levels.append(self.levels[-1].reduce(2))
        return self.levels[number], scale


def render(
    backgrounds: Sequence[UInt8Array],
    objects: Sequence[SceneObject],
    effects: ImageEffects,
    rng: Rng,
    occluder: Occluder | None = None,
) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Draw the frames of a scene.

    Args:
        backgrounds: The background of every frame, uint8 RGB [H, W, 3].
        objects: Objects, the furthest first.
        effects: Applied to every frame.
        rng: Of the noise.
        occluder: Something in front of the objects.

    Returns:
        Frames, uint8 RGB [H, W, 3], and label maps, uint8 [H, W]: 0, or 1 + the position in `objects` of the object
        that covers at least half of the pixel and is nearest.
    """
    pyramids = [SpritePyramid([obj.sprite.image]) for obj in objects]
    tones = [min(255, max(0, round(v * gain + effects.lift))) for gain in effects.gain for v in range(256)]
    frames, labels = [], []
    for t, background in enumerate(backgrounds):
        image = Image.fromarray(background)
        label = np.zeros(background.shape[:2], np.uint8)
        # objects from back to front, each over those behind it, in the image and in the label map
        for number, obj in enumerate(objects, start=1):
            _paste(image, label, obj, pyramids[number - 1], t, number, effects)
        if occluder is not None:
            image.paste(Image.fromarray(occluder.pixels), (occluder.left, 0))
            label[:, occluder.left : occluder.right] = 0
        # effects of the camera
        frames.append(_apply_effects(image, effects, tones, rng))
        labels.append(label)
    return frames, labels


def _paste(
    image: Image.Image,
    label: UInt8Array,
    obj: SceneObject,
    pyramid: SpritePyramid,
    t: int,
    number: int,
    effects: ImageEffects,
) -> None:
    """Paste object `number` as it is in frame t into an image and its label map, in place."""
    placed = place_sprite(obj, pyramid, t, image.size)
    if placed is None:
        return
    patch, x, y = placed
    # the image: a shadow first, then the object
    alpha = patch.getchannel("A")
    if effects.soft:
        alpha = alpha.filter(ImageFilter.BoxBlur(0.7))
    if effects.shadow:
        _shadow(image, alpha, x, y, effects.shadow)
    image.paste(patch.convert("RGB"), (x, y), alpha)
    # the label map
    inside = solid(np.asarray(alpha))
    label[y : y + patch.height, x : x + patch.width][inside] = number


def place_sprite(
    obj: SceneObject, pyramid: SpritePyramid, t: int, size: tuple[int, int]
) -> tuple[Image.Image, int, int] | None:
    """An object as it is in frame t: what of it lies inside an image.

    Args:
        obj: The object.
        pyramid: Its sprite.
        t: Position of the frame.
        size: Width and height of the image.

    Returns:
        RGBA, and the x and y of its upper left corner in the image; None where nothing of the object is inside.
    """
    # box of the turned sprite, cut at the image's borders
    trajectory, full = obj.trajectory, obj.sprite.image
    source, scale = pyramid.at(float(trajectory.size[t]) / max(full.size))
    a = math.radians(float(trajectory.angle[t]))
    c, s = math.cos(a), math.sin(a)
    half_w, half_h = source.width * scale / 2, source.height * scale / 2
    reach_x, reach_y = abs(c) * half_w + abs(s) * half_h + 1, abs(s) * half_w + abs(c) * half_h + 1
    x, y = float(trajectory.x[t]), float(trajectory.y[t])
    left, top = max(0, math.floor(x - reach_x)), max(0, math.floor(y - reach_y))
    right, bottom = min(size[0], math.ceil(x + reach_x)), min(size[1], math.ceil(y + reach_y))
    if right <= left or bottom <= top:
        return None
    # from pixels of the box to the source: turn back around the centre, scale, mirror
    k = (-1.0 if trajectory.flip else 1.0) / scale
    affine = (
        *(c * k, s * k, source.width / 2 + k * (c * (left - x) + s * (top - y))),
        *(-s / scale, c / scale, source.height / 2 + (-s * (left - x) + c * (top - y)) / scale),
    )
    patch = source.transform((right - left, bottom - top), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return patch, left, top


def _shadow(image: Image.Image, alpha: Image.Image, x: int, y: int, strength: float) -> None:
    """Darken the image behind an object, a little to the lower right of it."""
    offset = max(2, alpha.height // 25)
    dark = alpha.filter(ImageFilter.BoxBlur(offset)).point([round(a * strength) for a in range(256)])
    image.paste((0, 0, 0), (x + offset, y + offset, x + offset + alpha.width, y + offset + alpha.height), dark)


def _apply_effects(image: Image.Image, effects: ImageEffects, tones: list[int], rng: Rng) -> UInt8Array:
    if effects.blur:
        image = image.filter(ImageFilter.GaussianBlur(effects.blur))
    pixels = np.asarray(image.point(tones))
    if not effects.noise:
        return pixels
    noise = rng.normal(0, effects.noise, (*pixels.shape[:2], 1)).astype(np.float32)
    return (pixels + noise).clip(0, 255).astype(np.uint8)
