"""The transformer's feed-forward network on a CPU, some tokens at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.kernels import InferenceKernel
from uniref.model.deformable_layers import FeedForward

_ROWS = 512  # tokens at a time: their hidden activations stay in the processor's cache
_MANY_ROWS = 4096  # tokens from which that pays


class ChunkedFeedForward(InferenceKernel, FeedForward):
    """`FeedForward` that never writes the hidden activations of all tokens.

    Args:
        plain: The module to replace; its parameters are shared.
    """

    def __init__(self, plain: FeedForward) -> None:
        InferenceKernel.__init__(self)
        self.linear1, self.linear2, self.norm = plain.linear1, plain.linear2, plain.norm
        self.dropout = plain.dropout

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, N, C] -> [B, N, C]."""
        if x.shape[:2].numel() < _MANY_ROWS:
            return super().forward(x)
        out = torch.empty_like(x)
        for rows, result in zip(x.flatten(0, 1).split(_ROWS), out.flatten(0, 1).split(_ROWS), strict=True):
            torch.add(rows, self.linear2(F.relu_(self.linear1(rows))), out=result)
        return self.norm(out)
