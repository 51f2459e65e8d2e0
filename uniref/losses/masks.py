"""Losses of masks, one number a mask. Axes: M masks, h x w pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_HARDEST = 0.4  # share of pixels that the bootstrapped cross entropy looks at
_CLAMP = 1e-7  # probabilities stay this far from 0 and 1


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


def bootstrapped_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the hardest pixels, where object and background compete by soft aggregation.

    Args:
        probabilities: Float [M, h, w], 0..1.
        targets: Float [M, h, w], 0 or 1.

    Returns:
        Float [M], the mean over the hardest 40 % of each mask's pixels.
    """
    p = probabilities.flatten(1).clamp(_CLAMP, 1 - _CLAMP)
    # softmax over the logits of [1 - p, p]
    logits = 2 * (p / (1 - p)).log()
    loss = F.softplus(logits * (1 - 2 * targets.flatten(1)))
    return loss.topk(max(1, int(_HARDEST * loss.shape[1])), dim=1, sorted=False).values.mean(1)


def soft_iou_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - soft intersection over union: float [M, h, w] each -> [M]."""
    overlap = (probabilities * targets).sum((1, 2))
    union = (probabilities + targets - probabilities * targets).sum((1, 2))
    return 1 - overlap / union.clamp(min=1e-6)
