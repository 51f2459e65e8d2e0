"""Boxes: conversions between formats, and boxes of masks.

A name says its frame: `cxcywh` / `xyxy`, `norm` for fractions of the unpadded image, pixels otherwise. Overlap and
non-maximum suppression are torchvision's (`torchvision.ops`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uniref.core.types import BoolMask

if TYPE_CHECKING:
    from torch import Tensor  # workers that only read masks do without it


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """[..., 4] (centre x, centre y, width, height) to [..., 4] (x0, y0, x1, y1), same unit."""
    from torchvision.ops import box_convert

    converted: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return converted


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """[..., 4] (x0, y0, x1, y1) to [..., 4] (centre x, centre y, width, height), same unit."""
    from torchvision.ops import box_convert

    converted: Tensor = box_convert(boxes, "xyxy", "cxcywh")
    return converted


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Logit of `x` (any shape, values in 0..1), with `x` clamped to [eps, 1 - eps]."""
    x = x.clamp(0, 1)
    return (x.clamp(min=eps) / (1 - x).clamp(min=eps)).log()


def mask_bounds(mask: BoolMask) -> tuple[slice, slice] | None:
    """Rows and columns that hold the pixels of a mask, bool [H, W]; None where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    cols = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def mask_box(mask: BoolMask) -> tuple[float, float, float, float] | None:
    """Tight box (x0, y0, x1, y1) of a mask, bool [H, W], in pixels, x1 and y1 exclusive; None where it is empty."""
    region = mask_bounds(mask)
    if region is None:
        return None
    rows, cols = region
    return float(cols.start), float(rows.start), float(cols.stop), float(rows.stop)
