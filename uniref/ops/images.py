"""Images to network input (SPEC section 2): resize, normalise, pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
MULTIPLE = 32

UInt8Image = npt.NDArray[np.uint8]
"""RGB, [H, W, 3]."""
BoolMask = npt.NDArray[np.bool_]
"""[H, W]."""


@dataclass(frozen=True)
class Input:
    """A batch of images as the network takes it."""

    images: Tensor
    """Normalised, padded with 0 right and bottom, float32 [B, 3, H, W]; H and W multiples of 32, or a square."""
    padding: Tensor
    """Bool [B, H, W], True = padded."""


def resize_image(image: UInt8Image, size: tuple[int, int]) -> UInt8Image:
    """A picture at `size` (height, width) by Pillow's bilinear filter."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def normalise(image: UInt8Image, size: tuple[int, int]) -> Tensor:
    """One image at `size` (height, width), resized by Pillow's bilinear filter and normalised: float32 [3, h, w]."""
    x = torch.tensor(resize_image(image, size)).permute(2, 0, 1).float()
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def denormalise(images: Tensor) -> Tensor:
    """Undo the normalisation of [..., 3, h, w]: whole numbers 0..255, float; padding shows as the mean colour."""
    values = images * images.new_tensor(STD)[:, None, None] + images.new_tensor(MEAN)[:, None, None]
    return values.round().clamp(0, 255)


def resize_mask(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at `size` (height, width), nearest pixel centre: it goes with an image that Pillow resized."""
    if mask.shape == size:
        return mask
    resized = Image.fromarray(mask.astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(np.bool_)


def box_of(mask: BoolMask) -> tuple[float, float, float, float] | None:
    """Tight box (x0, y0, x1, y1) in pixels, x1 and y1 exclusive; None for an empty mask."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return float(cols[0]), float(rows[0]), float(cols[-1] + 1), float(rows[-1] + 1)


def pad_batch(images: Sequence[Tensor], square: int | None = None) -> Input:
    """Normalised images [3, h, w] of any sizes as one batch, padded to multiples of 32, or to a square of that side."""
    height = square or _round_up(max(image.shape[1] for image in images))
    width = square or _round_up(max(image.shape[2] for image in images))
    batch = torch.zeros(len(images), 3, height, width)
    padding = torch.ones(len(images), height, width, dtype=torch.bool)
    for index, image in enumerate(images):
        _, h, w = image.shape
        batch[index, :, :h, :w] = image
        padding[index, :h, :w] = False
    return Input(batch, padding)


def pad_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """A mask [..., h, w] padded with 0 right and bottom to `size` (height, width)."""
    return F.pad(mask, (0, size[1] - mask.shape[-1], 0, size[0] - mask.shape[-2]))


def _round_up(pixels: int) -> int:
    return -(-pixels // MULTIPLE) * MULTIPLE
