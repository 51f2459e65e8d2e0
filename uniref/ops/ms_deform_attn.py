"""Multi-scale deformable attention's sampling (Deformable DETR, eq. 3) in plain PyTorch.

Axes: B batch, S tokens of all levels, Q queries, H heads, D channels of a head, L levels, P points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_QUERIES = 512  # sampled at a time, on a CPU

Sizes = Sequence[tuple[int, int]]
"""(height, width) of each level, finest first."""


def ms_deform_attn(value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples of `value`, zero outside each level.

    Args:
        value: float [B, S, H, D], the levels' tokens one after the other, rows first.
        sizes: (height, width) of each level; the products sum to S.
        locations: float [B, Q, H, L, P, 2], (x, y) as fractions of each level's padded size; 0..1 is inside.
        weights: float [B, Q, H, L, P].

    Returns:
        [B, Q, H * D], dtype of `value`.
    """
    needs_grad = torch.is_grad_enabled() and (value.requires_grad or weights.requires_grad)
    if value.device.type == "cpu" and not needs_grad:
        return sample_bags(value, sizes, locations, weights)
    return sample_grid(value, sizes, locations, weights)


def sample_grid(value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor) -> Tensor:
    """`ms_deform_attn` with one `grid_sample` a level; differentiable on every device."""
    batch, _, heads, dim = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # [BH, Q, L, P, 2]
    sampled = []
    for level, (part, (h, w)) in enumerate(zip(value.split([h * w for h, w in sizes], dim=1), sizes, strict=True)):
        plane = part.permute(0, 2, 3, 1).reshape(batch * heads, dim, h, w)
        sampled.append(
            F.grid_sample(
                plane, grids[:, :, level].to(plane.dtype), mode="bilinear", padding_mode="zeros", align_corners=False
            )
        )  # [BH, D, Q, P]
    stacked = torch.stack(sampled, dim=3).flatten(3)  # [BH, D, Q, L * P]
    scale = weights.transpose(1, 2).reshape(batch * heads, 1, queries, len(sizes) * points)
    out = (stacked * scale).sum(-1)  # [BH, D, Q]
    return out.view(batch, heads * dim, queries).transpose(1, 2).contiguous()


def sample_bags(value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor) -> Tensor:
    """`ms_deform_attn` as one weighted gather-and-sum (`embedding_bag`).

    Each sample is a weighted sum of four rows of D contiguous values, so a query's whole output is one bag of
    4 * L * P rows: nothing of the size of all samples is ever written. Faster on CPU, where `grid_sample`
    walks one channel plane after the other. A few queries at a time keep the indices in the processor's cache.
    """
    batch, tokens, heads, dim = value.shape
    layout = _Layout(value, sizes)
    table = value.reshape(batch * tokens * heads, dim)
    out = value.new_empty(batch, locations.shape[1], heads, dim)
    for image in range(batch):
        first = layout.head + image * tokens * heads
        for part in range(0, locations.shape[1], _QUERIES):
            rows = slice(part, part + _QUERIES)
            index, share = _corners(layout, locations[image, rows], weights[image, rows], first)
            bags = F.embedding_bag(index, table, per_sample_weights=share.to(value.dtype), mode="sum")
            out[image, rows] = bags.view(-1, heads, dim)
    return out.flatten(2)


class _Layout:
    """Where each level's pixels stand in the flat table of rows."""

    def __init__(self, value: Tensor, sizes: Sizes) -> None:
        heads = value.shape[2]
        starts = [0]
        for h, w in sizes[:-1]:
            starts.append(starts[-1] + h * w)
        place = value.device
        self.width = torch.tensor([[float(w)] for _, w in sizes], device=place)  # [L, 1]
        self.height = torch.tensor([[float(h)] for h, _ in sizes], device=place)
        self.row_step = torch.tensor([[w * heads] for _, w in sizes], dtype=torch.int32, device=place)
        self.start = torch.tensor([[s * heads] for s in starts], dtype=torch.int32, device=place)
        self.column_step = heads
        self.head = torch.arange(heads, dtype=torch.int32, device=place)[:, None, None]  # [H, 1, 1]


def _corners(layout: _Layout, locations: Tensor, weights: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Table rows and shares of the four pixels around every point: [Q * H, L * P * 4] each.

    Args:
        layout: Of the table.
        locations: Float [Q, H, L, P, 2].
        weights: Float [Q, H, L, P].
        first: int32 [H, 1, 1], each head's row of the image's first pixel.
    """
    queries, heads = weights.shape[:2]
    x_low, x_high, x_share_low, x_share_high = _neighbours(locations[..., 0], layout.width)
    y_low, y_high, y_share_low, y_share_high = _neighbours(locations[..., 1], layout.height)
    y_share_low, y_share_high = y_share_low * weights, y_share_high * weights
    index = torch.empty(*weights.shape, 4, dtype=torch.int32, device=weights.device)
    share = torch.empty(*weights.shape, 4, dtype=torch.float32, device=weights.device)
    corner = 0
    base = layout.start + first
    for y, y_share in ((y_low, y_share_low), (y_high, y_share_high)):
        row = y * layout.row_step + base
        for x, x_share in ((x_low, x_share_low), (x_high, x_share_high)):
            torch.add(row, x, alpha=layout.column_step, out=index[..., corner])
            torch.mul(y_share, x_share, out=share[..., corner])
            corner += 1
    return index.view(queries * heads, -1), share.view(queries * heads, -1)


def _neighbours(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels before and after a coordinate along one axis, and their shares (0 for a pixel outside).

    Args:
        location: Float [Q, H, L, P], 0..1 is inside.
        size: Float [L, 1], pixels along the axis.

    Returns:
        int32 low and high, clamped into the axis; float32 shares of low and high.
    """
    pixel = location * size - 0.5
    low = pixel.floor()
    share_high = pixel - low
    share_low = 1 - share_high
    last = size - 1
    share_low = share_low * ((low >= 0) & (low <= last))
    share_high = share_high * ((low >= -1) & (low < last))
    low_index = low.clamp(min=0).minimum(last)
    high_index = (low + 1).clamp(min=0).minimum(last)
    return low_index.to(torch.int32), high_index.to(torch.int32), share_low, share_high
