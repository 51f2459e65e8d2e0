"""Multi-scale deformable attention with its projections."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniref.ops.ms_deform_attn import Sizes, ms_deform_attn, sample_bags
from uniref.recipe.model import TransformerConfig


class DeformableAttention(nn.Module):
    """Each query reads `points` learned places around its reference in every level, for each head.

    Args:
        dim: Width C of queries and tokens, a multiple of `heads`.
        heads, levels, points: Sampling layout.
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
        """Deformable DETR's start: the points of head h stand on a ray in direction h, one step apart."""
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
        """Sample `tokens` around the queries' references.

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
        batch, queries, _ = query.shape
        value = self.value_proj(tokens)
        if padding is not None:
            value = value.masked_fill_(padding[..., None], 0)
        # under autocast too, places are computed and read in float32: half precision cannot tell neighbouring
        # pixels apart
        value = value.float().view(batch, -1, self.heads, value.shape[-1] // self.heads)
        if _in_pixels_pays(references):
            return self.output_proj(self._sample_in_pixels(query, references, value, sizes))
        offsets = self.sampling_offsets(query).float()
        offsets = offsets.view(batch, queries, self.heads, self.levels, self.points, 2)
        weights = self.attention_weights(query).float()
        weights = weights.view(batch, queries, self.heads, -1).softmax(-1)
        weights = weights.view(batch, queries, self.heads, self.levels, self.points)
        anchors = references[:, :, None, :, None]
        if references.shape[-1] == 4:
            locations = anchors[..., :2] + offsets / self.points * anchors[..., 2:] * 0.5
        else:
            locations = anchors + offsets / offsets.new_tensor([(w, h) for h, w in sizes])[:, None]
        return self.output_proj(ms_deform_attn(value, sizes, locations, weights))

    def _sample_in_pixels(self, query: Tensor, references: Tensor, value: Tensor, sizes: Sizes) -> Tensor:
        """Sampling around points on a CPU: all x and all y stand together, so that every step runs over long rows.

        Args:
            query, references, sizes: As for `forward`, the references points.
            value: Float32 [B, S, H, D].

        Returns:
            Float32 [B, Q, C].
        """
        count = self.heads * self.levels * self.points
        offsets, weights = self.sampling_offsets, self.attention_weights
        matrix = torch.cat([offsets.weight[0::2], offsets.weight[1::2], weights.weight])  # from x, y, x, y, ...
        bias = torch.cat([offsets.bias[0::2], offsets.bias[1::2], weights.bias])
        rows = F.linear(query, matrix, bias).float()
        shares = rows[..., 2 * count :].unflatten(-1, (self.heads, -1)).softmax(-1).flatten(2)
        anchors = references * references.new_tensor([(w, h) for h, w in sizes]) - 0.5
        spread = torch.eye(self.levels, device=query.device).repeat_interleave(self.points, 1).repeat(1, self.heads)
        with torch.autocast(query.device.type, enabled=False):  # this product copies: it must not round
            x = rows[..., :count] + anchors[..., 0] @ spread
            y = rows[..., count : 2 * count] + anchors[..., 1] @ spread
        return sample_bags(value, sizes, x, y, shares, self.points)


def _in_pixels_pays(references: Tensor) -> bool:
    """Whether the references are points, of which there are many (boxes are few), on a CPU, for inference."""
    return references.shape[-1] == 2 and references.device.type == "cpu" and not torch.is_grad_enabled()


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


class MLP(nn.Module):
    """Linear layers with ReLU between them: [..., inputs] -> [..., outputs]."""

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
