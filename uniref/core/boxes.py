"""Box formats and their conversions.

A name says its frame: `cxcywh` / `xyxy`, `norm` for fractions of the unpadded image, pixels otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """[..., 4] (centre x, centre y, width, height) to [..., 4] (x0, y0, x1, y1), same unit."""
    cx, cy, w, h = boxes.unbind(-1)
    return torch.stack([cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h], dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """[..., 4] (x0, y0, x1, y1) to [..., 4] (centre x, centre y, width, height), same unit."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], dim=-1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every box of `a` (xyxy, [N, 4]) and of `b` (xyxy, [M, 4], same unit): [N, M]; 0 where both are empty."""
    overlap = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp(
        min=0
    )
    shared = overlap.prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1)[None] - shared
    return shared / union.clamp(min=1e-9)


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Logit of `x` (any shape, values in 0..1), with `x` clamped to [eps, 1 - eps]."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def keep_apart(boxes: Tensor, scores: Tensor, limit: float) -> Tensor:
    """Non-maximum suppression.

    Args:
        boxes: xyxy [N, 4].
        scores: [N].
        limit: A box goes when its IoU with a better one that stays is above this.

    Returns:
        Rows that stay, best first, int64.
    """
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = boxes[order]
    ious = box_iou(sorted_boxes, sorted_boxes)
    stays = torch.ones(len(order), dtype=torch.bool)
    for row in range(len(order)):
        if stays[row]:
            stays[row + 1 :] &= ious[row, row + 1 :] <= limit
    return order[stays]
