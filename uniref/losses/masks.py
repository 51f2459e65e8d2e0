"""Losses of masks, one number a mask. Axes: M masks, h x w pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_HARDEST = 0.4  # share of pixels that the bootstrapped cross entropy looks at
_LIMIT = 16.1  # of logits: probabilities stay 1e-7 from 0 and 1
_TINY = 1e-6  # a union without any pixel


def dice_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - (2 x overlap + 1) / (sum + 1).

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
    """Logits after object and background have competed: softmax over the logits of [1 - p, p] (STM's soft aggregation).

    Args:
        logits: Of p, float, any shape.

    Returns:
        The same shape; the sigmoid is the object's share.
    """
    return 2 * logits.clamp(-_LIMIT, _LIMIT)


def bootstrapped_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy, mean over the hardest 40 % of each mask's pixels: float [M, h, w] each -> [M]."""
    loss = F.softplus(logits * (1 - 2 * targets)).flatten(1)
    return loss.topk(max(1, int(_HARDEST * loss.shape[1])), dim=1, sorted=False).values.mean(1)


def soft_iou_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - soft intersection over union: float [M, h, w] each -> [M]."""
    overlap = (probabilities * targets).sum((1, 2))
    union = (probabilities + targets - probabilities * targets).sum((1, 2))
    return 1 - overlap / union.clamp(min=_TINY)
