"""Random flip, crop and resize of images, masks, boxes and expressions (UniRef++, implementation details).

Sizes are (height, width); boxes are (x0, y0, x1, y1) in pixels, x1 and y1 exclusive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from uniref.core.types import BoolMask, UInt8Image
from uniref.ops.images import fit_size, resize_image, resize_mask
from uniref.recipe.data import AugmentConfig

Boxes = npt.NDArray[np.float32]
Size = tuple[int, int]


class AugmentStep(Protocol):
    """One geometric change of an image, its masks and its boxes."""

    def image(self, image: UInt8Image) -> UInt8Image: ...  # noqa: D102
    def mask(self, mask: BoolMask) -> BoolMask: ...  # noqa: D102
    def boxes(self, boxes: Boxes) -> Boxes: ...  # noqa: D102


@dataclass(frozen=True)
class Flip:
    """Horizontal mirroring."""

    width: int

    def image(self, image: UInt8Image) -> UInt8Image:
        """[H, W, 3]."""
        return image[:, ::-1]

    def mask(self, mask: BoolMask) -> BoolMask:
        """[H, W]."""
        return mask[:, ::-1]

    def boxes(self, boxes: Boxes) -> Boxes:
        """[n, 4]."""
        return np.stack([self.width - boxes[:, 2], boxes[:, 1], self.width - boxes[:, 0], boxes[:, 3]], axis=1)


@dataclass(frozen=True)
class Resize:
    """From one size to another."""

    before: Size
    after: Size

    def image(self, image: UInt8Image) -> UInt8Image:
        """Bilinear, [H, W, 3]."""
        return resize_image(image, self.after)

    def mask(self, mask: BoolMask) -> BoolMask:
        """Nearest pixel centre, [H, W]."""
        return resize_mask(mask, self.after)

    def boxes(self, boxes: Boxes) -> Boxes:
        """[n, 4]."""
        y, x = self.after[0] / self.before[0], self.after[1] / self.before[1]
        return boxes * np.array([x, y, x, y], np.float32)


@dataclass(frozen=True)
class Crop:
    """A rectangle of the image."""

    top: int
    left: int
    size: Size

    def image(self, image: UInt8Image) -> UInt8Image:
        """[H, W, 3]."""
        return image[self.top : self.top + self.size[0], self.left : self.left + self.size[1]]

    def mask(self, mask: BoolMask) -> BoolMask:
        """[H, W]."""
        return mask[self.top : self.top + self.size[0], self.left : self.left + self.size[1]]

    def boxes(self, boxes: Boxes) -> Boxes:
        """The part of each that lies in the crop, [n, 4]; a box outside comes back without area."""
        height, width = self.size
        moved = boxes - np.array([self.left, self.top, self.left, self.top], np.float32)
        return moved.clip(0, np.array([width, height, width, height], np.float32))


@dataclass(frozen=True)
class Transform:
    """Steps in the order in which they are applied."""

    steps: tuple[AugmentStep, ...]

    @property
    def flipped(self) -> bool:
        """Whether left and right have changed places."""
        return any(isinstance(step, Flip) for step in self.steps)

    @property
    def cropped(self) -> bool:
        """Whether a part of the image may be missing."""
        return any(isinstance(step, Crop) for step in self.steps)

    def image(self, image: UInt8Image) -> UInt8Image:
        """uint8 [H, W, 3]."""
        for step in self.steps:
            image = step.image(image)
        return np.ascontiguousarray(image)

    def mask(self, mask: BoolMask) -> BoolMask:
        """Bool [H, W]."""
        for step in self.steps:
            mask = step.mask(mask)
        return mask

    def visible_mask(self, mask: BoolMask) -> BoolMask | None:
        """The mask in the augmented image; None where nothing is left of it."""
        moved = self.mask(mask)
        return moved if moved.any() else None

    def boxes(self, boxes: Boxes) -> Boxes:
        """Float32 [n, 4]; one that is cut away has no area."""
        for step in self.steps:
            boxes = step.boxes(boxes)
        return boxes


def draw_image_transform(rng: np.random.Generator, size: Size, config: AugmentConfig, may_crop: bool) -> Transform:
    """For one image: flip, perhaps (resize, crop), resize; each at random."""
    steps: list[AugmentStep] = []
    if rng.random() < config.flip:
        steps.append(Flip(size[1]))
    if rng.random() < config.crop and may_crop:
        between = fit_size(*size, _one_of(rng, config.crop_short_sides), None)
        crop = _draw_crop(rng, between, config)
        steps += [Resize(size, between), crop]
        size = crop.size
    steps.append(Resize(size, fit_size(*size, _one_of(rng, config.short_sides), config.max_long_side)))
    return Transform(tuple(steps))


def draw_clip_transforms(
    rng: np.random.Generator, size: Size, config: AugmentConfig, frames: int, may_crop: bool = True
) -> list[Transform]:
    """For the frames of one clip: perhaps a crop, then resize and flip, which all frames share.

    Whether there is a crop is drawn once per clip, its region for each frame. The short side is the same in all frames;
    after different crops their long sides differ.
    """
    flip = rng.random() < config.flip
    short_side = _one_of(rng, config.short_sides)
    cropped = rng.random() < config.crop and may_crop
    transforms = []
    for _ in range(frames):
        steps: list[AugmentStep] = []
        seen = size
        if cropped:
            crop = _draw_crop(rng, size, config)
            steps.append(crop)
            seen = crop.size
        after = fit_size(*seen, short_side, config.max_long_side)
        steps.append(Resize(seen, after))
        if flip:
            steps.append(Flip(after[1]))
        transforms.append(Transform(tuple(steps)))
    return transforms


def _draw_crop(rng: np.random.Generator, size: Size, config: AugmentConfig) -> Crop:
    least, most = config.crop_sides
    height, width = (int(rng.integers(min(side, least), min(side, most) + 1)) for side in size)
    top = int(rng.integers(size[0] - height + 1))
    left = int(rng.integers(size[1] - width + 1))
    return Crop(top, left, (height, width))


def _one_of(rng: np.random.Generator, values: Sequence[int]) -> int:
    return values[int(rng.integers(len(values)))]


_ENDINGS = "most|hand|handed|side|er|ward|wards|s"
_SIDES = re.compile(rf"\b(left|right)(?=(?:{_ENDINGS})?\b)")
_SIDES_ANYWHERE = re.compile("left|right")
_ORDINALS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
_ORDINAL = re.compile(rf"\b(?:{_ORDINALS}|[0-9]+(?:st|nd|rd|th))\b")
_ORDINAL_ANYWHERE = re.compile(_ORDINALS)


def swap_sides(text: str, released: bool = False) -> str:
    """The text that describes the mirrored image: left and right trade places.

    Args:
        text: Cleaned.
        released: Also inside other words, as the released system does ("bright", "upright").
    """
    pattern = _SIDES_ANYWHERE if released else _SIDES
    return pattern.sub(lambda match: "right" if match[0] == "left" else "left", text)


def has_ordinal(text: str, released: bool = False) -> bool:
    """Whether a text has an ordinal ("second from the left"): a crop may remove objects that are counted.

    Args:
        text: Cleaned.
        released: Only spelled ordinals, but also inside other words, as the released system does.
    """
    pattern = _ORDINAL_ANYWHERE if released else _ORDINAL
    return pattern.search(text) is not None
