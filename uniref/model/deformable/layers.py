"""Encoder and decoder layers, post-norm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniref.model.deformable.attention import DeformableAttention
from uniref.ops.ms_deform_attn import Sizes
from uniref.recipe.model import TransformerConfig

_ROWS = 512  # of a feed-forward network at a time, on a CPU
_MANY_ROWS = 4096  # from which that pays


class FeedForward(nn.Module):
    """Linear, ReLU, linear, added to the input and normalised: [B, N, C] -> [B, N, C]."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, N, C] -> [B, N, C]."""
        if x.device.type == "cpu" and not torch.is_grad_enabled() and x.shape[:2].numel() >= _MANY_ROWS:
            return self._in_pieces(x)
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm(x + self.dropout(self.linear2(hidden)))

    def _in_pieces(self, x: Tensor) -> Tensor:
        """The same for inference: the wide middle of a few rows at a time stays in the processor's cache."""
        out = torch.empty_like(x)
        for rows, result in zip(x.flatten(0, 1).split(_ROWS), out.flatten(0, 1).split(_ROWS), strict=True):
            torch.add(rows, self.linear2(F.relu_(self.linear1(rows))), out=result)
        return self.norm(out)


class EncoderLayer(nn.Module):
    """Deformable self-attention over all levels' tokens, then a feed-forward network."""

    def __init__(self, config: TransformerConfig, dim: int, levels: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(dim, config.heads, levels, config.points)
        self.norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, config.ffn_dim, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, tokens: Tensor, positions: Tensor, references: Tensor, sizes: Sizes, padding: Tensor | None
    ) -> Tensor:
        """Tokens and positions [B, S, C], references [B, S, L, 2] -> [B, S, C]."""
        attended = self.self_attn(tokens + positions, references, tokens, sizes, padding)
        return self.ffn(self.norm(tokens + self.dropout(attended)))


class DecoderLayer(nn.Module):
    """Self-attention among queries, deformable cross-attention to the encoder's tokens, feed-forward."""

    def __init__(self, config: TransformerConfig, dim: int, levels: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, config.heads, config.dropout, batch_first=True)
        self.self_norm = nn.LayerNorm(dim)
        self.cross_attn = DeformableAttention(dim, config.heads, levels, config.points)
        self.cross_norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, config.ffn_dim, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        states: Tensor,
        positions: Tensor,
        references: Tensor,
        tokens: Tensor,
        sizes: Sizes,
        padding: Tensor | None,
    ) -> Tensor:
        """States and positions [B, Q, C], references [B, Q, L, 4], tokens [B, S, C] -> [B, Q, C]."""
        placed = states + positions
        attended, _ = self.self_attn(placed, placed, states, need_weights=False)
        states = self.self_norm(states + self.dropout(attended))
        attended = self.cross_attn(states + positions, references, tokens, sizes, padding)
        states = self.cross_norm(states + self.dropout(attended))
        return self.ffn(states)
