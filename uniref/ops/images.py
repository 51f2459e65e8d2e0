"""Images and masks to network input and back: checks, resizing, normalisation, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.types import BoolMask, UInt8Image
from uniref.ops.constants import constant

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
MULTIPLE = 32


@dataclass(frozen=True)
class Input:
    """A batch of images as the network takes it."""

    images: Tensor
    """Normalised, padded with 0 right and bottom, float32 [B, 3, H, W]; H and W multiples of 32, or a square."""
    padding: Tensor
    """Bool [B, H, W], True = padded."""


def resize_image(image: UInt8Image, size: tuple[int, int]) -> UInt8Image:
    """An image at `size` (height, width) by Pillow's bilinear filter."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def normalise(image: UInt8Image, size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """One image at `size` (height, width), resized by Pillow's bilinear filter and normalised.

    Args:
        image: uint8 RGB [H, W, 3].
        size: (h, w).
        device: Where to normalise: bytes are moved there, a quarter of what float32 would take. None: the CPU.

    Returns:
        Float32 [3, h, w], on the device.
    """
    pixels = torch.tensor(resize_image(image, size))
    if device is not None and device.type == "cuda":  # from page-locked memory, the copy makes nobody wait
        pixels = pixels.pin_memory()
    x = pixels.to(device, non_blocking=True).permute(2, 0, 1).float()
    return (x - constant(MEAN, x)[:, None, None]) / constant(STD, x)[:, None, None]


def denormalise(images: Tensor) -> Tensor:
    """Undo the normalisation of [..., 3, h, w]: whole numbers 0..255, float; padding shows as the mean colour."""
    values = images * constant(STD, images)[:, None, None] + constant(MEAN, images)[:, None, None]
    return values.round().clamp(0, 255)


def resize_mask(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at `size` (height, width), nearest pixel centre: it goes with an image that Pillow resized."""
    if mask.shape == size:
        return mask
    resized = Image.fromarray(mask.astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(np.bool_)


def pad_batch(images: Sequence[Tensor], square: int | None = None) -> Input:
    """Normalised images [3, h, w] of any sizes as one batch, padded to multiples of 32, or to a square of that side."""
    height = square or _round_up(max(image.shape[1] for image in images))
    width = square or _round_up(max(image.shape[2] for image in images))
    batch = images[0].new_zeros(len(images), 3, height, width)
    padding = torch.ones(len(images), height, width, dtype=torch.bool, device=batch.device)
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


def fit_size(height: int, width: int, short_side: int | None, long_side: int | None) -> tuple[int, int]:
    """Size with the short side at `short_side` unless the long side would then exceed `long_side`.

    Args:
        height, width: Pixels, at least 1.
        short_side: Requested short side in pixels; None keeps the size.
        long_side: Limit of the long side in pixels; None = no limit.

    Returns:
        (height, width), each rounded half up and at least 1.
    """
    if short_side is None:
        return height, width
    scale = short_side / min(height, width)
    new_h, new_w = (short_side, scale * width) if height < width else (scale * height, short_side)
    if long_side is not None and max(new_h, new_w) > long_side:
        shrink = long_side / max(new_h, new_w)
        new_h, new_w = new_h * shrink, new_w * shrink
    return max(1, int(new_h + 0.5)), max(1, int(new_w + 0.5))


def aligned_bilinear(x: Tensor, factor: int) -> Tensor:
    """CondInst's upsampling: source pixel i lands exactly on output pixel factor * i + factor / 2.

    Args:
        x: Float [N, C, h, w].
        factor: Whole number, at least 1.

    Returns:
        [N, C, factor * h, factor * w]; borders replicate.
    """
    if factor == 1:
        return x
    h, w = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=(factor * h + 1, factor * w + 1), mode="bilinear", align_corners=True)
    x = F.pad(x, (factor // 2, 0, factor // 2, 0), mode="replicate")
    return x[..., : factor * h, : factor * w]


def resize_nearest(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resize of [..., h, w] (bool or float) to `size`; the input itself where sizes agree."""
    if tuple(masks.shape[-2:]) == tuple(size):
        return masks
    flat = masks.reshape(-1, 1, *masks.shape[-2:])
    out = F.interpolate(flat.float(), size=size, mode="nearest")
    return out.to(masks.dtype).view(*masks.shape[:-2], *size)


def resize_bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of float maps [N, h, w] to `size`; the input itself where sizes agree."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def check_image(image: npt.NDArray[np.generic]) -> None:
    """Raise UsageError unless `image` is uint8 [H, W, 3] with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        form = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(f"image: expected a uint8 RGB array [H, W, 3], got {form}")
    if 0 in image.shape:
        raise UsageError(f"image: is empty ({image.shape[0]} x {image.shape[1]} pixels)")


def check_mask(mask: npt.NDArray[np.generic], size: tuple[int, int], name: str) -> BoolMask:
    """`mask` as bool [H, W] of the image's size and not empty, or a UsageError that begins with `name`."""
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise UsageError(f"{name}: expected a mask [H, W], got {list(mask.shape)}")
    if mask.shape != size:
        raise UsageError(f"{name}: is {mask.shape[1]} x {mask.shape[0]} pixels, but its image is {size[1]} x {size[0]}")
    marked = mask.astype(np.bool_)
    if not marked.any():
        raise UsageError(f"{name}: is empty; mark the object's pixels")
    return marked
