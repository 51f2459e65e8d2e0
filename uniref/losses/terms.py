"""Elementary loss terms of classes, boxes and masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_NO_AREA = 1e-12  # keeps boxes without area from dividing by zero
_NO_PIXELS = 1e-6  # a union without any pixel
_HARDEST = 0.4  # share of pixels that the bootstrapped cross entropy averages
_LIMIT = 16.1  # of logits: probabilities stay 1e-7 from 0 and 1


def focal_loss(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """Elementwise focal loss (Lin et al., 2017) of independent binary decisions.

    Args:
        logits: Float, any shape.
        targets: Float 0 or 1, broadcastable to it.
        alpha: Weight of positives; negatives have 1 - alpha.
        gamma: Focusing parameter: how much easy decisions count less.

    Returns:
        Float, the shape of `logits`.
    """
    # a decision's error: the logit's distance from where it should be
    wrong = logits * (1 - 2 * targets)
    weight = (1 - alpha) + (2 * alpha - 1) * targets
    return weight * wrong.sigmoid() ** gamma * F.softplus(wrong)


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
    iou = intersection / union.clamp(min=_NO_AREA)
    return iou, iou - (hull - union) / hull.clamp(min=_NO_AREA)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def dice_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Dice loss (Milletari et al., 2016): 1 - (2 x overlap + 1) / (sum + 1), one value per mask.

    Args:
        probabilities: Float [M, h, w], 0..1.
        targets: Float [M, h, w], 0 or 1.

    Returns:
        Float [M].
    """
    overlap = (probabilities * targets).sum((1, 2))
    total = probabilities.sum((1, 2)) + targets.sum((1, 2))
    return 1 - (2 * overlap + 1) / (total + 1)


def aggregate(logits: Tensor) -> Tensor:
    """Soft aggregation of object and background (STM, Oh et al., 2019): softmax over the logits of [1 - p, p].

    Args:
        logits: Of p, float, any shape.

    Returns:
        The same shape; the sigmoid is the object's share.
    """
    return 2 * logits.clamp(-_LIMIT, _LIMIT)


def bootstrapped_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Bootstrapped cross entropy: mean over the hardest 40 % of each mask's pixels; float [M, h, w] each -> [M]."""
    loss = F.softplus(logits * (1 - 2 * targets)).flatten(1)
    return loss.topk(max(1, int(_HARDEST * loss.shape[1])), dim=1, sorted=False).values.mean(1)


def soft_iou_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - soft intersection over union: float [M, h, w] each -> [M]."""
    overlap = (probabilities * targets).sum((1, 2))
    union = (probabilities + targets - probabilities * targets).sum((1, 2))
    return 1 - overlap / union.clamp(min=_NO_PIXELS)
