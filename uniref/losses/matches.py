"""Matched pairs of all images and layers as flat columns, and sums over them.

Axes: L decoder layers, Q queries, M matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from uniref.losses.matching import NONE


@dataclass(frozen=True)
class Matches:
    """Pairs of query and object, ordered by image, then layer, then query; int64 [M] each."""

    layers: Tensor
    rows: Tensor
    """Image of the batch."""
    queries: Tensor
    targets: Tensor
    """Place among the objects of all images, one image's after the other's."""

    @staticmethod
    def gather(matched: Sequence[Tensor], counts: Sequence[int]) -> Matches:
        """From the object of each query, int64 [L, Q] an image, and the number of objects of each image."""
        parts, first = [], 0
        for row, (each, count) in enumerate(zip(matched, counts, strict=True)):
            layers, queries = (each != NONE).nonzero(as_tuple=True)
            parts.append((layers, torch.full_like(layers, row), queries, each[layers, queries] + first))
            first += count
        return Matches(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def __getitem__(self, chosen: Tensor | slice) -> Matches:
        return Matches(self.layers[chosen], self.rows[chosen], self.queries[chosen], self.targets[chosen])

    def __len__(self) -> int:
        return len(self.layers)

    def per_layer(self, values: Tensor, layers: int) -> Tensor:
        """Sums over the matches of each layer: [M, ...] -> [L, ...]."""
        return values.new_zeros(layers, *values.shape[1:]).index_add(0, self.layers, values)

    def counts(self, layers: int) -> Tensor:
        """Matches of each layer, at least 1 (a divisor): float [L]."""
        return self.per_layer(torch.ones(len(self), device=self.layers.device), layers).clamp(min=1)

    def at_most(self, count: int, layers: int) -> Matches:
        """A random choice of at most `count` matches in each layer, in the old order."""
        kept = []
        for layer in range(layers):
            place = (self.layers == layer).nonzero().flatten()
            kept.append(place[torch.randperm(len(place), device=place.device)[:count]])
        return self[torch.cat(kept).sort().values]

    def in_pieces(self, compare: Callable[[Matches], Tensor], size: int) -> Tensor:
        """`compare` for `size` matches at a time, [m, ...] -> [M, ...].

        The values inside exist for one piece only: the backward pass computes them once more instead of keeping them.
        """
        pieces = [self[start : start + size] for start in range(0, max(1, len(self)), size)]
        return torch.cat(
            [checkpoint(compare, piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces]
        )
