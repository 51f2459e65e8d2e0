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
        points = weights.shape[-1]
        extent = locations.new_tensor([(w, h) for h, w in sizes])[:, None]
        x, y = (locations * extent - 0.5).unbind(-1)
        return sample_bags(value, sizes, x.flatten(2), y.flatten(2), weights.flatten(2), points)
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


def sample_bags(value: Tensor, sizes: Sizes, x: Tensor, y: Tensor, weights: Tensor, points: int) -> Tensor:
    """`ms_deform_attn` as one weighted gather-and-sum (`embedding_bag`).

    Each sample is a weighted sum of four rows of D contiguous values, so a query's whole output is one bag of
    4 * L * P rows: nothing of the size of all samples is ever written. Faster on CPU, where `grid_sample`
    walks one channel plane after the other. A few queries at a time keep the indices in the processor's cache.

    Args:
        value, sizes: As for `ms_deform_attn`.
        x, y: Places in pixels of their level, 0 is the first pixel's centre, float [B, Q, H * L * P].
        weights: Float [B, Q, H * L * P].
        points: P.

    Returns:
        [B, Q, H * D], dtype of `value`.
    """
    batch, _, heads, dim = value.shape
    table = _Table(value, sizes, points)
    out = value.new_empty(batch, x.shape[1], heads, dim)
    for image in range(batch):
        for part in range(0, x.shape[1], _QUERIES):
            rows = slice(part, part + _QUERIES)
            index, share = table.corners(image, x[image, rows], y[image, rows], weights[image, rows])
            bags = F.embedding_bag(index, table.rows, per_sample_weights=share.to(value.dtype), mode="sum")
            out[image, rows] = bags.view(-1, heads, dim)
    return out.flatten(2)


class _Table:
    """The values as one flat table of rows, every level with a frame of zeros, so that no corner needs a check.

    A level of h x w pixels stands in h + 4 lines of w + 1: a zero before every line is also the one after the line
    before, and a place clamped to -1 .. w reads up to two zeros after the last pixel, with share 0.

    Args:
        value: Float [B, S, H, D].
        sizes: (height, width) of each level.
        points: P.
    """

    def __init__(self, value: Tensor, sizes: Sizes, points: int) -> None:
        batch, _, self.heads, dim = value.shape
        lengths = [(h + 4) * (w + 1) for h, w in sizes]
        self.image_rows = sum(lengths) * self.heads
        table = value.new_zeros(batch, sum(lengths), self.heads, dim)
        starts = []
        begin = 0
        parts = value.split([h * w for h, w in sizes], dim=1)
        for (h, w), part, length in zip(sizes, parts, lengths, strict=True):
            framed = table[:, begin : begin + length].view(batch, h + 4, w + 1, self.heads, dim)
            framed[:, 1 : h + 1, 1:] = part.view(batch, h, w, self.heads, dim)
            starts.append(begin + w + 2)  # of the level's first pixel
            begin += length
        self.rows = table.view(-1, dim)

        def spread(numbers: list[int]) -> Tensor:
            """One number a level -> int32 [H * L * P]; as long as what it meets, it does not slow that down."""
            levels = torch.tensor(numbers, dtype=torch.int32, device=value.device)
            return levels.repeat_interleave(points).repeat(self.heads)

        self.width, self.height = spread([w for _, w in sizes]).float(), spread([h for h, _ in sizes]).float()
        self.line = spread([(w + 1) * self.heads for _, w in sizes])
        head = torch.arange(self.heads, dtype=torch.int32, device=value.device)
        self.first = spread([s * self.heads for s in starts]) + head.repeat_interleave(len(sizes) * points)

    def corners(self, image: int, x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Table rows (int32) and shares (float32) of the four pixels around every point: [Q * H, 4 * L * P] each.

        Args:
            image: Row of the batch.
            x, y, weights: Float [Q, H * L * P].
        """
        queries, samples = len(x), x.shape[1] // self.heads
        x, y = x.clamp(min=-1).minimum(self.width), y.clamp(min=-1).minimum(self.height)
        left, top = x.floor(), y.floor()
        x, y = x - left, y - top  # share of the right and of the lower pixels

        index = torch.empty(queries, self.heads, 4, samples, dtype=torch.int32, device=x.device)
        place = top.to(torch.int32).mul_(self.line).add_(left.to(torch.int32), alpha=self.heads)
        index[:, :, 0] = place.add_(self.first + image * self.image_rows).view(queries, self.heads, samples)
        torch.add(index[:, :, 0], self.heads, out=index[:, :, 1])
        torch.add(index[:, :, :2], self.line.view(self.heads, 1, samples), out=index[:, :, 2:])

        share = torch.empty(queries, self.heads, 4, samples, device=x.device)
        right, weights, lower = (z.view(queries, self.heads, samples) for z in (x, weights.contiguous(), y * weights))
        for row, line in ((0, weights - lower), (2, lower)):
            torch.mul(line, right, out=share[:, :, row + 1])
            torch.sub(line, share[:, :, row + 1], out=share[:, :, row])
        return index.flatten(0, 1).flatten(1), share.flatten(0, 1).flatten(1)
