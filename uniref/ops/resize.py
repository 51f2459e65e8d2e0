"""Sizes and resizing of images, masks and logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def fit_size(height: int, width: int, short_side: int | None, long_side: int | None) -> tuple[int, int]:
    """Size with the short side at `short_side` unless the long side would then exceed `long_side`.

    Args:
        height, width: Pixels, at least 1.
        short_side: Wanted short side in pixels; None keeps the size.
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
        x: float [N, C, h, w].
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
