"""What the parts of the model hand to each other.

Axes: B batch, C hidden width, K reference tokens, H fusion heads, D channels of a fusion head, Q queries,
L decoder layers. A "padding" is bool with True = padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Projected features of a batch of images (SPEC section 3), before or after fusion."""

    levels: tuple[Tensor, ...]
    """Float [B, C, h, w] at strides 8, 16, 32, 64, ..."""
    paddings: tuple[Tensor, ...]
    """Bool [B, h, w] of each level."""
    stride4: Tensor
    """The backbone's own stride-4 map, float [B, C4, H / 4, W / 4]."""
    sizes: Tensor
    """(height, width) of each unpadded image in input pixels, float [B, 2]."""

    def with_levels(self, levels: Sequence[Tensor]) -> Features:
        """The same images with other (fused) level features."""
        return replace(self, levels=tuple(levels))


@dataclass(frozen=True)
class ReferenceTokens:
    """A reference at one level, as the encoders give it (SPEC section 3)."""

    keys: Tensor
    """Float [B, K, C]."""
    values: Tensor
    """Float [B, K, C]."""
    padding: Tensor | None
    """Bool [B, K], or None where no token is padded."""
    embedding: Tensor
    """Float [B, C]: what modulates the attention's result."""


@dataclass(frozen=True)
class ProjectedTokens:
    """A reference at one level, ready to be attended to: UniFusion's key and value projections are done."""

    keys: Tensor
    """Float [B, K, H, D]."""
    values: Tensor
    """Float [B, K, H, D]."""
    padding: Tensor | None
    """Bool [B, K], or None."""
    embedding: Tensor
    """Float [B, C]."""


Reference = tuple[ReferenceTokens, ...]
"""One `ReferenceTokens` a level."""

ProjectedReference = tuple[ProjectedTokens, ...]
"""One `ProjectedTokens` a level."""


def concat_tokens(parts: Sequence[ProjectedTokens]) -> ProjectedTokens:
    """Several references as one: tokens side by side, embeddings averaged (SPEC section 3)."""
    padding = None
    if any(part.padding is not None for part in parts):
        padding = torch.cat(
            [
                part.padding
                if part.padding is not None
                else torch.zeros(part.keys.shape[:2], dtype=torch.bool, device=part.keys.device)
                for part in parts
            ],
            dim=1,
        )
    return ProjectedTokens(
        keys=torch.cat([part.keys for part in parts], dim=1),
        values=torch.cat([part.values for part in parts], dim=1),
        padding=padding,
        embedding=torch.stack([part.embedding for part in parts]).mean(0),
    )


def concat_references(references: Sequence[ProjectedReference]) -> ProjectedReference:
    """`concat_tokens` at every level."""
    if len(references) == 1:
        return references[0]
    return tuple(concat_tokens(parts) for parts in zip(*references, strict=True))


def batch_references(references: Sequence[ProjectedReference]) -> ProjectedReference:
    """References of several objects (each with batch size 1 and the same token counts) as one batch."""
    if len(references) == 1:
        return references[0]
    return tuple(
        ProjectedTokens(
            keys=torch.cat([part.keys for part in parts]),
            values=torch.cat([part.values for part in parts]),
            padding=None
            if parts[0].padding is None
            else torch.cat([part.padding for part in parts if part.padding is not None]),
            embedding=torch.cat([part.embedding for part in parts]),
        )
        for parts in zip(*references, strict=True)
    )


@dataclass(frozen=True)
class Proposals:
    """The encoder's proposals, one a token; only the proposal losses need them."""

    logits: Tensor
    """Float [B, tokens, classes]."""
    boxes: Tensor
    """Float [B, tokens, 4], cxcywh in 0..1."""


@dataclass(frozen=True)
class Detections:
    """The transformer's output; index -1 of the layer axis is the final prediction."""

    logits: Tensor
    """Class logits, float [L, B, Q, classes]."""
    boxes: Tensor
    """Refined boxes, float [L, B, Q, 4], cxcywh as fractions of the unpadded image."""
    references: Tensor
    """The box each layer started from, float [L, B, Q, 4], same format."""
    states: Tensor
    """Decoder states, float [L, B, Q, C]."""
    memory: tuple[Tensor, ...]
    """The encoder's output at every level, float [B, C, h, w]."""
    proposals: Proposals | None
