"""What the parts of the model hand to each other.

Axes: B batch, N objects, C width, K reference tokens, H fusion heads, D channels of a fusion head, Q queries, L decoder
layers, S encoder tokens. A "padding" is bool with True = padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Projected features of a batch of images, before or after fusion."""

    levels: tuple[Tensor, ...]
    """Float [B, C, h, w] at strides 8, 16, 32, 64, ...; in SAM one level at stride 16."""
    paddings: tuple[Tensor, ...]
    """Bool [B, h, w] of each level; () where padded positions count like all others (SAM)."""
    sizes: Tensor
    """(height, width) of each unpadded image in input pixels, float [B, 2]."""
    stride4: Tensor | None = None
    """The backbone's own stride-4 map, float [B, C4, H / 4, W / 4]; None in SAM."""
    prompt: Tensor | None = None
    """After fusion in SAM: the sparse prompt of its mask decoder, float [B, C]. Else None."""

    def with_levels(self, levels: Sequence[Tensor]) -> Features:
        """The same images with other (fused) level features."""
        return replace(self, levels=tuple(levels))

    def rows(self, rows: slice) -> Features:
        """Some of the objects that were fused into one image: the image's own parts (batch 1) stay as they are."""
        prompt = None if self.prompt is None else self.prompt[rows]
        return replace(self, levels=tuple(x[rows] for x in self.levels), prompt=prompt)

    def image(self, row: int) -> Features:
        """One image of a batch, as a batch of its own."""
        one = slice(row, row + 1)
        return Features(
            tuple(x[one] for x in self.levels),
            tuple(x[one] for x in self.paddings),
            self.sizes[one],
            None if self.stride4 is None else self.stride4[one],
            None if self.prompt is None else self.prompt[one],
        )


def join_images(parts: Sequence[Features]) -> Features:
    """Several images of the same size, into each of which one object was fused, as one batch."""
    stride4 = [part.stride4 for part in parts if part.stride4 is not None]
    prompts = [part.prompt for part in parts if part.prompt is not None]
    return Features(
        tuple(torch.cat(maps) for maps in zip(*(part.levels for part in parts), strict=True)),
        tuple(torch.cat(maps) for maps in zip(*(part.paddings for part in parts), strict=True)),
        torch.cat([part.sizes for part in parts]),
        torch.cat(stride4) if stride4 else None,
        torch.cat(prompts) if prompts else None,
    )


def join_objects(parts: Sequence[Features]) -> Features:
    """Objects that were fused into one image group by group, as one batch."""
    first = parts[0]
    if len(parts) == 1:
        return first
    levels = tuple(torch.cat(maps) for maps in zip(*(part.levels for part in parts), strict=True))
    prompts = [part.prompt for part in parts if part.prompt is not None]
    return replace(first, levels=levels, prompt=torch.cat(prompts) if prompts else None)


@dataclass(frozen=True)
class ReferenceTokens:
    """A reference at one level, as the text or mask encoder returns it.

    Objects of one frame share its keys: keys, padding and embedding then have batch size 1.
    """

    keys: Tensor
    """Float [B or 1, K, C]."""
    values: Tensor
    """Float [B, K, C]."""
    padding: Tensor | None
    """Bool [B or 1, K], or None where no token is padded."""
    embedding: Tensor
    """Float [B or 1, C]: the summary that modulates the attention's result."""


@dataclass(frozen=True)
class ProjectedTokens:
    """A reference at one level after UniFusion's key and value projections. Batch sizes as in `ReferenceTokens`."""

    keys: Tensor
    """Float [B or 1, K, H, D]."""
    values: Tensor
    """Float [B, K, H, D]."""
    padding: Tensor | None
    """Bool [B or 1, K], or None."""
    embedding: Tensor
    """Float [B or 1, C]."""


Reference = tuple[ReferenceTokens, ...]
"""One `ReferenceTokens` per level."""

ProjectedReference = tuple[ProjectedTokens, ...]
"""One `ProjectedTokens` per level."""


def concat_references(references: Sequence[ProjectedReference]) -> ProjectedReference:
    """Several references as one: tokens side by side, embeddings averaged (first and previous frame of a video)."""
    if len(references) == 1:
        return references[0]
    return tuple(concat_tokens(parts) for parts in zip(*references, strict=True))


def concat_tokens(parts: Sequence[ProjectedTokens]) -> ProjectedTokens:
    """`concat_references` at one level."""
    padding = None
    if any(part.padding is not None for part in parts):
        unpadded = [torch.zeros(part.keys.shape[:2], dtype=torch.bool, device=part.keys.device) for part in parts]
        paddings = [x if part.padding is None else part.padding for part, x in zip(parts, unpadded, strict=True)]
        padding = torch.cat(paddings, dim=1)
    return ProjectedTokens(
        keys=torch.cat([part.keys for part in parts], dim=1),
        values=torch.cat([part.values for part in parts], dim=1),
        padding=padding,
        embedding=torch.stack([part.embedding for part in parts]).mean(0),
    )


def join_shots(reference: ProjectedReference, shots: int) -> ProjectedReference:
    """References of B * S images as B references: the S images of a sample side by side, embeddings averaged.

    Args:
        reference: Batch B * S, a sample's images one after the other; no keys are shared between them.
        shots: S.
    """
    if shots == 1:
        return reference

    def joined(x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, shots)).flatten(1, 2)

    return tuple(
        ProjectedTokens(
            keys=joined(tokens.keys),
            values=joined(tokens.values),
            padding=None if tokens.padding is None else joined(tokens.padding),
            embedding=tokens.embedding.unflatten(0, (-1, shots)).mean(1),
        )
        for tokens in reference
    )


def batch_references(references: Sequence[ProjectedReference]) -> ProjectedReference:
    """References of several objects, each of batch size 1 and with equal token counts, as one batch.

    Keys that all of them share (the same tensor) stay shared.
    """
    if len(references) == 1:
        return references[0]
    batched = []
    for parts in zip(*references, strict=True):
        values = torch.cat([part.values for part in parts])
        if all(part.keys is parts[0].keys for part in parts):
            batched.append(replace(parts[0], values=values))
            continue
        paddings = [part.padding for part in parts if part.padding is not None]
        batched.append(
            ProjectedTokens(
                keys=torch.cat([part.keys for part in parts]),
                values=values,
                padding=torch.cat(paddings) if paddings else None,
                embedding=torch.cat([part.embedding for part in parts]),
            )
        )
    return tuple(batched)


def split_reference(reference: ProjectedReference) -> list[ProjectedReference]:
    """A reference of B objects as B references of one (views); shared keys stay the same tensor."""

    def row(x: Tensor, index: int) -> Tensor:
        return x if len(x) == 1 else x[index : index + 1]

    return [
        tuple(
            ProjectedTokens(
                keys=row(tokens.keys, index),
                values=row(tokens.values, index),
                padding=None if tokens.padding is None else row(tokens.padding, index),
                embedding=row(tokens.embedding, index),
            )
            for tokens in reference
        )
        for index in range(len(reference[0].values))
    ]


@dataclass(frozen=True)
class Proposals:
    """The encoder's proposals (two-stage Deformable DETR), one per token; only the proposal losses need them."""

    logits: Tensor
    """Float [B, S, classes]."""
    boxes: Tensor
    """Float [B, S, 4], cxcywh in 0..1."""


@dataclass(frozen=True)
class Detections:
    """The transformer's output; index -1 of the layer axis is the final prediction."""

    logits: Tensor
    """Class logits, float [L, B, Q, classes]."""
    boxes: Tensor
    """Refined boxes, float [L, B, Q, 4], cxcywh as fractions of the unpadded image."""
    reference_boxes: Tensor
    """The box that each layer refines, float [L, B, Q, 4], same format."""
    query_states: Tensor
    """Decoder states, float [L, B, Q, C]."""
    memory: tuple[Tensor, ...]
    """The encoder's output at every level, float [B, C, h, w]."""
    proposals: Proposals | None


@dataclass(frozen=True)
class Segments:
    """What a model predicts from fused features: one mask per row."""

    logits: Tensor
    """Mask logits at stride 4, padded, float32 [N, H / 4, W / 4]."""
    scores: Tensor
    """Confidence, float [N], 0..1: the class score, or SAM's estimate of the mask's IoU."""
    boxes: Tensor | None = None
    """Float [N, 4], cxcywh as fractions of the unpadded image; None where the model predicts masks alone."""
