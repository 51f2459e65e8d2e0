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
    """Float [B, C, h, w] at strides 8, 16, 32, 64, ...; in SAM one level at stride 16."""
    paddings: tuple[Tensor, ...]
    """Bool [B, h, w] of each level; () where padded positions count like all others (SAM)."""
    sizes: Tensor
    """(height, width) of each unpadded image in input pixels, float [B, 2]."""
    stride4: Tensor | None = None
    """The backbone's own stride-4 map, float [B, C4, H / 4, W / 4]; None in SAM."""
    prompt: Tensor | None = None
    """After fusion in SAM: what prompts its mask decoder, float [B, C]. Else None."""

    def with_levels(self, levels: Sequence[Tensor]) -> Features:
        """The same images with other (fused) level features."""
        return replace(self, levels=tuple(levels))

    def rows(self, chosen: slice) -> Features:
        """Some of the objects that were fused into one image: its own parts (batch 1) stay as they are."""
        prompt = None if self.prompt is None else self.prompt[chosen]
        return replace(self, levels=tuple(x[chosen] for x in self.levels), prompt=prompt)


def join_objects(parts: Sequence[Features]) -> Features:
    """Objects fused into one image group by group, as one batch."""
    first = parts[0]
    if len(parts) == 1:
        return first
    levels = tuple(torch.cat(maps) for maps in zip(*(part.levels for part in parts), strict=True))
    prompts = [part.prompt for part in parts if part.prompt is not None]
    return replace(first, levels=levels, prompt=torch.cat(prompts) if prompts else None)


@dataclass(frozen=True)
class ReferenceTokens:
    """A reference at one level, as the encoders give it (SPEC section 3).

    Objects of one frame share its keys: these, their padding and the embedding then have batch size 1.
    """

    keys: Tensor
    """Float [B or 1, K, C]."""
    values: Tensor
    """Float [B, K, C]."""
    padding: Tensor | None
    """Bool [B or 1, K], or None where no token is padded."""
    embedding: Tensor
    """Float [B or 1, C]: what modulates the attention's result."""


@dataclass(frozen=True)
class ProjectedTokens:
    """A reference at one level, ready to be attended to: what UniFusion computes from it alone is done.

    Batch sizes as in `ReferenceTokens`.
    """

    keys: Tensor
    """Float [B or 1, K, H, D]; or normalised keys [B or 1, K, C] where `UniFusion` folds its projections."""
    values: Tensor
    """Float [B, K, H, D]; or the values themselves [B, K, C]."""
    padding: Tensor | None
    """Bool [B or 1, K], or None."""
    embedding: Tensor
    """Float [B or 1, C]."""

    @property
    def folded(self) -> bool:
        """Whether keys and values are the reference's own, not projected per head."""
        return self.keys.dim() == 3


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


def join_shots(reference: ProjectedReference, shots: int) -> ProjectedReference:
    """References of B x S images as B references: the S of a sample side by side, embeddings averaged (SPEC section 3).

    Args:
        reference: Batch B x S, a sample's images one after the other; nothing shared between them.
        shots: S.
    """
    if shots == 1:
        return reference

    def joined(x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, shots)).flatten(1, 2)

    return tuple(
        ProjectedTokens(
            joined(tokens.keys),
            joined(tokens.values),
            None if tokens.padding is None else joined(tokens.padding),
            tokens.embedding.unflatten(0, (-1, shots)).mean(1),
        )
        for tokens in reference
    )


def batch_references(references: Sequence[ProjectedReference]) -> ProjectedReference:
    """References of several objects, each of one row and with the same token counts, as one batch.

    Keys that all of them share (the same tensor) stay shared.
    """
    if len(references) == 1:
        return references[0]
    return tuple(_batch_tokens(parts) for parts in zip(*references, strict=True))


def _batch_tokens(parts: Sequence[ProjectedTokens]) -> ProjectedTokens:
    values = torch.cat([part.values for part in parts])
    first = parts[0]
    if all(part.keys is first.keys for part in parts):
        return replace(first, values=values)
    return ProjectedTokens(
        keys=torch.cat([part.keys for part in parts]),
        values=values,
        padding=None
        if first.padding is None
        else torch.cat([part.padding for part in parts if part.padding is not None]),
        embedding=torch.cat([part.embedding for part in parts]),
    )


def split_reference(reference: ProjectedReference) -> list[ProjectedReference]:
    """A reference of B objects as B references of one (views); shared keys stay the same tensor."""
    per_level = [split_tokens(tokens) for tokens in reference]
    return [tuple(level[index] for level in per_level) for index in range(len(per_level[0]))]


def split_tokens(tokens: ProjectedTokens) -> list[ProjectedTokens]:
    """The rows of one level."""

    def row(x: Tensor, index: int) -> Tensor:
        return x if len(x) == 1 else x[index : index + 1]

    return [
        ProjectedTokens(
            row(tokens.keys, i),
            tokens.values[i : i + 1],
            None if tokens.padding is None else row(tokens.padding, i),
            row(tokens.embedding, i),
        )
        for i in range(len(tokens.values))
    ]


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
    reference_boxes: Tensor
    """The box each layer started from, float [L, B, Q, 4], same format."""
    query_states: Tensor
    """Decoder states, float [L, B, Q, C]."""
    memory: tuple[Tensor, ...]
    """The encoder's output at every level, float [B, C, h, w]."""
    proposals: Proposals | None


@dataclass(frozen=True)
class Segments:
    """What a model makes of fused features: one mask a row."""

    logits: Tensor
    """Mask logits at stride 4, padded, float32 [N, H / 4, W / 4]."""
    scores: Tensor
    """Confidence, float [N], 0..1: the class score, or SAM's estimate of the mask's IoU."""
    boxes: Tensor | None = None
    """Float [N, 4], cxcywh as fractions of the unpadded image; None where the model finds masks alone."""
