"""Sampling of multi-scale deformable attention (Zhu et al., "Deformable DETR", ICLR 2021, Eq. 3) in plain PyTorch.

Axes: B batch, S tokens of all levels, Q queries, H heads, D channels of a head, L levels, P sampling points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Sizes = Sequence[tuple[int, int]]
"""(height, width) of each level, finest first."""


def ms_deform_attn(value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples of `value`, zero outside each level; differentiable.

    Args:
        value: Float [B, S, H, D], the levels' tokens one after the other, row-major.
        sizes: (height, width) of each level; the products sum to S.
        locations: Float [B, Q, H, L, P, 2], (x, y) as fractions of each level's padded size; 0..1 is inside.
        weights: Float [B, Q, H, L, P].

    Returns:
        [B, Q, H * D], dtype of `value`.
    """
    batch, _, heads, dim = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    # grid_sample takes coordinates from -1 to 1
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # [BH, Q, L, P, 2]
    sampled = []
    for level, (part, (h, w)) in enumerate(zip(value.split([h * w for h, w in sizes], dim=1), sizes, strict=True)):
        plane = part.permute(0, 2, 3, 1).reshape(batch * heads, dim, h, w)
        grid = grids[:, :, level].to(plane.dtype)
        # [BH, D, Q, P]
        sampled.append(F.grid_sample(plane, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    stacked = torch.stack(sampled, dim=3).flatten(3)  # [BH, D, Q, L * P]
    scale = weights.transpose(1, 2).reshape(batch * heads, 1, queries, len(sizes) * points)
    out = (stacked * scale).sum(-1)  # [BH, D, Q]
    return out.view(batch, heads * dim, queries).transpose(1, 2).contiguous()
