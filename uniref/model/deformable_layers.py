"""Layers of the deformable transformer (Zhu et al., "Deformable DETR", ICLR 2021), post-norm.

Axes: B batch, S tokens of all levels, Q queries, C width, H heads, L levels, P sampling points.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniref.ops.constants import constant
from uniref.ops.ms_deform_attn import Sizes, ms_deform_attn
from uniref.recipe.model import TransformerConfig


class MLP(nn.Module):
    """Linear layers with ReLU between them: [..., inputs] -> [..., outputs]; predicts boxes and mask parameters."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (layers - 1) + [outputs]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., inputs] -> [..., outputs]."""
        *inner, last = self.layers
        for layer in inner:
            x = F.relu(layer(x))
        return last(x)


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention (Deformable DETR, Eq. 3) with its projections.

    Every query samples P learned points around its reference point in every level, for each head.

    Args:
        dim: Width C of queries and tokens, a multiple of `heads`.
        heads, levels, points: H, L and P.
    """

    def __init__(self, dim: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Deformable DETR's initialisation: the points of head h lie on a ray in direction h, one pixel apart."""
        angle = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        ray = torch.stack([angle.cos(), angle.sin()], -1)
        ray = ray / ray.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1, dtype=torch.float32)
        grid = ray[:, None, None] * steps[:, None]  # [H, 1, P, 2]
        with torch.no_grad():
            self.sampling_offsets.weight.zero_()
            self.sampling_offsets.bias.copy_(grid.expand(-1, self.levels, -1, -1).flatten())
            self.attention_weights.weight.zero_()
            self.attention_weights.bias.zero_()
            for layer in (self.value_proj, self.output_proj):
                nn.init.xavier_uniform_(layer.weight)
                layer.bias.zero_()

    def forward(
        self, query: Tensor, references: Tensor, tokens: Tensor, sizes: Sizes, padding: Tensor | None
    ) -> Tensor:
        """Sample `tokens` around the queries' reference points.

        Args:
            query: Float [B, Q, C].
            references: Float [B, Q, L, 2] points (x, y) or [B, Q, L, 4] boxes (cx, cy, w, h), as fractions of each
                level's padded size.
            tokens: Float [B, S, C], all levels one after the other.
            sizes: (height, width) of each level.
            padding: Bool [B, S], True = the token's value counts as zero; None = no padding.

        Returns:
            Float [B, Q, C].
        """
        value = self.project_values(tokens, padding)
        locations, weights = self.sampling_points(query, references, sizes)
        return self.output_proj(ms_deform_attn(value, sizes, locations, weights))

    def project_values(self, tokens: Tensor, padding: Tensor | None) -> Tensor:
        """Values of every head, padded ones 0: float32 [B, S, H, C / H]."""
        value = self.value_proj(tokens)
        if padding is not None:
            value = value.masked_fill_(padding[..., None], 0)
        # float32 under autocast, too: half precision cannot tell neighbouring pixels' locations apart
        return value.float().unflatten(2, (self.heads, -1))

    def sampling_points(self, query: Tensor, references: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Sampling locations, float32 [B, Q, H, L, P, 2], as fractions of each level's padded size, and attention
        weights, float32 [B, Q, H, L, P], which sum to 1 over L and P. Arguments as for `forward`."""
        shape = (*query.shape[:2], self.heads, self.levels, self.points)
        offsets = self.sampling_offsets(query).float().view(*shape, 2)
        weights = self.attention_weights(query).float().unflatten(2, (self.heads, -1)).softmax(-1).view(shape)
        anchors = references[:, :, None, :, None]
        if references.shape[-1] == 4:  # offsets in units of half the box, divided by P
            return anchors[..., :2] + offsets / self.points * anchors[..., 2:] * 0.5, weights
        return anchors + offsets / constant(tuple((w, h) for h, w in sizes), offsets)[:, None], weights


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
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm(x + self.dropout(self.linear2(hidden)))


class EncoderLayer(nn.Module):
    """Deformable self-attention over the tokens of all levels, then a feed-forward network."""

    def __init__(self, config: TransformerConfig, dim: int, levels: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(dim, config.heads, levels, config.points)
        self.norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, config.ffn_dim, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, tokens: Tensor, positions: Tensor, references: Tensor, sizes: Sizes, padding: Tensor | None
    ) -> Tensor:
        """Tokens and position encodings [B, S, C], reference points [B, S, L, 2] -> [B, S, C]."""
        attended = self.self_attn(tokens + positions, references, tokens, sizes, padding)
        return self.ffn(self.norm(tokens + self.dropout(attended)))


class DecoderLayer(nn.Module):
    """Self-attention among queries, deformable cross-attention to the encoder's tokens, feed-forward network."""

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
        """Query states and positions [B, Q, C], reference boxes [B, Q, L, 4], tokens [B, S, C] -> [B, Q, C]."""
        queries = states + positions
        attended, _ = self.self_attn(queries, queries, states, need_weights=False)
        states = self.self_norm(states + self.dropout(attended))
        attended = self.cross_attn(states + positions, references, tokens, sizes, padding)
        states = self.cross_norm(states + self.dropout(attended))
        return self.ffn(states)
