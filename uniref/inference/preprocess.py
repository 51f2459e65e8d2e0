"""What the predictors do to a caller's pictures: checks, then the network input of uniref/ops/images.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UsageError
from uniref.ops.images import (
    MEAN,
    MULTIPLE,
    STD,
    BoolMask,
    Input,
    UInt8Image,
    box_of,
    normalise,
    pad_batch,
    pad_mask,
    resize_mask,
)

__all__ = [
    "MEAN",
    "MULTIPLE",
    "STD",
    "BoolMask",
    "Input",
    "UInt8Image",
    "box_of",
    "check_image",
    "check_mask",
    "normalise",
    "pad_batch",
    "pad_mask",
    "resize_mask",
]


def check_image(image: npt.NDArray[np.generic]) -> None:
    """Raise UsageError unless `image` is uint8 [H, W, 3] with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(f"image: expected a uint8 RGB array [H, W, 3], got {found}")
    if 0 in image.shape:
        raise UsageError(f"image: is empty ({image.shape[0]} x {image.shape[1]} pixels)")


def check_mask(mask: npt.NDArray[np.generic], size: tuple[int, int], what: str) -> BoolMask:
    """`mask` as bool [H, W] of the image's size and not empty, or a UsageError that begins with `what`."""
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise UsageError(f"{what}: expected a mask [H, W], got {list(mask.shape)}")
    if mask.shape != size:
        raise UsageError(f"{what}: is {mask.shape[1]} x {mask.shape[0]} pixels, but its image is {size[1]} x {size[0]}")
    chosen = mask.astype(np.bool_)
    if not chosen.any():
        raise UsageError(f"{what}: is empty; mark the object's pixels")
    return chosen
