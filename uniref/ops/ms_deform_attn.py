"""Multi-scale deformable attention's sampling (Deformable DETR, eq. 3) in plain PyTorch.

Axes: B batch, S tokens of all levels, Q queries, H heads, D channels of a head, L levels, P points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

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
    walks one channel plane after the other.
    """
    batch, tokens, heads, dim = value.shape
    queries = locations.shape[1]
    wh = locations.new_tensor([(w, h) for h, w in sizes])[:, None]  # [L, 1, 2]
    starts = [0]
    for h, w in sizes[:-1]:
        starts.append(starts[-1] + h * w)
    limit = wh.to(torch.int32) - 1
    width, start = limit[..., 0] + 1, limit.new_tensor(starts)[:, None]

    pixel = locations * wh - 0.5
    low = pixel.floor()
    fraction = pixel - low
    low = low.clamp(-2, 1e6).to(torch.int32)  # far outside stays outside and fits the integer
    xs, ys, x_weights, y_weights = [], [], [], []
    for step in (0, 1):
        corner = low + step
        inside = (corner >= 0) & (corner <= limit)
        share = (fraction if step else 1 - fraction) * inside
        corner = torch.minimum(corner.clamp(min=0), limit)
        xs.append(corner[..., 0])
        ys.append(corner[..., 1] * width + start)
        x_weights.append(share[..., 0])
        y_weights.append(share[..., 1] * weights)
    rows = torch.stack([y + x for y in ys for x in xs], dim=-1)  # [B, Q, H, L, P, 4]
    shares = torch.stack([y * x for y in y_weights for x in x_weights], dim=-1)

    head = torch.arange(heads, dtype=torch.int32, device=value.device)[:, None]
    image = torch.arange(batch, dtype=torch.int32, device=value.device)[:, None, None, None] * tokens
    rows = (rows.flatten(3) + image) * heads + head  # [B, Q, H, 4LP]
    out = F.embedding_bag(
        rows.view(batch * queries * heads, -1),
        value.reshape(batch * tokens * heads, dim),
        per_sample_weights=shares.to(value.dtype).view(batch * queries * heads, -1),
        mode="sum",
    )
    return out.view(batch, queries, heads * dim)
