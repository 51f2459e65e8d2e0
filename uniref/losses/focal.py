"""Focal loss (Lin et al., 2017) for independent binary decisions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def focal_loss(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """Elementwise focal loss.

    Args:
        logits: Float, any shape.
        targets: Float 0 or 1, broadcastable to it.
        alpha: Weight of positives; negatives have 1 - alpha.
        gamma: How much easy decisions are played down.

    Returns:
        Float, the shape of `logits`.
    """
    # a decision's error: the logit's distance from where it should be
    wrong = logits * (1 - 2 * targets)
    weight = (1 - alpha) + (2 * alpha - 1) * targets
    return weight * wrong.sigmoid() ** gamma * F.softplus(wrong)
