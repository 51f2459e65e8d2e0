"""Pictures and words made alike before they are fused: a help for short trainings, not part of the released system.

Axes: B images, N objects, P sentences, C width, T tokens of all levels, h x w a level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_SHARPNESS = 12.0  # of the softmax over cosines


def alignment_loss(
    levels: Sequence[Tensor],
    paddings: Sequence[Tensor],
    sentences: Tensor,
    masks: Tensor,
    images: Tensor | None = None,
) -> Tensor:
    """How far a sentence is from pointing at its object by likeness alone.

    The cosines of a sentence and all places of a level, through a softmax, should be spread evenly over the object: the
    Kullback-Leibler divergence from that, 0 if they are, mean over sentences and levels. A level in which no place is
    mostly the object does not count.

    Args:
        levels: Features before fusion, float [B, C, h, w] each.
        paddings: Bool [B, h, w] each, True = padded.
        sentences: Float [P, C].
        masks: What each sentence means, bool [P, H, W].
        images: The image of each sentence, int64 [P]; None: one an image, in their order.

    Returns:
        Float32 scalar.
    """
    directions = F.normalize(sentences.float(), dim=1)
    terms = []
    rows = slice(None) if images is None else images
    for level, padding in zip(levels, paddings, strict=True):
        cosines = torch.einsum("pchw,pc->phw", F.normalize(level.float(), dim=1)[rows], directions)
        logits = (_SHARPNESS * cosines).masked_fill(padding[rows], -torch.inf).flatten(1)
        wanted = coverage(masks, [(level.shape[-2], level.shape[-1])]) > 0.5  # [P, h * w]
        count = wanted.sum(1)
        shares = logits.log_softmax(1).masked_fill(~wanted, 0).sum(1) / count.clamp(min=1)
        terms.append((-shares - count.clamp(min=1).log())[count > 0])
    found = torch.cat(terms)
    return found.sum() / max(1, len(found))


def coverage(masks: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Share of every token's place that a mask covers: bool [N, H, W] and (h, w) a level -> float [N, T]."""
    full = masks.float()[None]
    return torch.cat([F.adaptive_avg_pool2d(full, size)[0].flatten(1) for size in sizes], dim=1)
