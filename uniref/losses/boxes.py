"""Overlap of boxes (xyxy, one unit throughout)."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-12  # keeps boxes without area from dividing by zero


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and its generalised form (Rezatofighi et al., 2019).

    Args:
        a, b: Float [..., 4], (x0, y0, x1, y1), broadcast against each other: [N, 1, 4] and [M, 4] give all pairs.

    Returns:
        IoU in 0..1 and GIoU in -1..1, float [...].
    """
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    intersection = inner[..., 0] * inner[..., 1]
    union = _area(a) + _area(b) - intersection
    hull = outer[..., 0] * outer[..., 1]
    iou = intersection / union.clamp(min=_TINY)
    return iou, iou - (hull - union) / hull.clamp(min=_TINY)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
