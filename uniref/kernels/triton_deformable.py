"""Multi-scale deformable attention's sampling as Triton kernels for CUDA, forward and backward.

The same function as `uniref.ops.ms_deform_attn` (Deformable DETR, eq. 3), without writing the sampled values: one
program sums all samples of a block of queries for one head. The backward pass recomputes the corners, so that only
the inputs are kept. Values may be float32, float16 or bfloat16; sums are float32.

Axes: B batch, S tokens of all levels, Q queries, H heads, D channels per head, L levels, P points.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from uniref.ops.ms_deform_attn import Sizes

_BLOCK = 32  # queries per program; with D = 32 channels a tile is one to two registers per thread of a block


def triton_ms_deform_attn(value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples of `value`, zero outside each level; differentiable once.

    Args:
        value: float32, float16 or bfloat16 [B, S, H, D], the levels' tokens one after the other, rows first.
        sizes: (height, width) of each level; the products sum to S.
        locations: float [B, Q, H, L, P, 2], (x, y) as fractions of each level's padded size; 0..1 is inside.
        weights: float [B, Q, H, L, P].

    Returns:
        [B, Q, H * D], dtype of `value`.
    """
    return _DeformableSampling.apply(value, tuple(sizes), locations, weights)


class _DeformableSampling(torch.autograd.Function):
    """Connects the two kernels to autograd."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, sizes: tuple[tuple[int, int], ...], locations: Tensor, weights: Tensor
    ) -> Tensor:
        value = value.contiguous()
        # fractions of pixels need float32 whatever the values' precision: half cannot tell neighbouring pixels apart
        points, scale = locations.float().contiguous(), weights.float().contiguous()
        batch, tokens, heads, dim = value.shape
        queries, levels, count = weights.shape[1], weights.shape[3], weights.shape[4]
        table = _level_table(sizes, value.device)
        out = value.new_empty(batch, queries, heads * dim)
        if out.numel():
            _forward_kernel[(triton.cdiv(queries, _BLOCK), batch * heads)](
                value, table, points, scale, out, queries, tokens, heads, dim, levels, count, _BLOCK, _channels(dim)
            )
        ctx.save_for_backward(value, points, scale, table)
        ctx.dtypes = locations.dtype, weights.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        value, points, scale, table = ctx.saved_tensors
        batch, tokens, heads, dim = value.shape
        queries, levels, count = scale.shape[1], scale.shape[3], scale.shape[4]
        # neighbouring queries add to the same tokens: summed in float32, rounded once at the end
        grad_value = torch.zeros_like(value, dtype=torch.float32)
        grad_points, grad_scale = torch.empty_like(points), torch.empty_like(scale)
        if grad_out.numel():
            _backward_kernel[(triton.cdiv(queries, _BLOCK), batch * heads)](
                value, table, points, scale, grad_out.contiguous(), grad_value, grad_points, grad_scale,
                queries, tokens, heads, dim, levels, count, _BLOCK, _channels(dim),
            )  # fmt: skip
        points_dtype, scale_dtype = ctx.dtypes
        return grad_value.to(value.dtype), None, grad_points.to(points_dtype), grad_scale.to(scale_dtype)


@lru_cache(maxsize=256)
def _level_table(sizes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """int32 [L, 3]: height, width and first token of each level; kept, because a copy to the GPU would wait for it."""
    rows, first = [], 0
    for height, width in sizes:
        rows.append((height, width, first))
        first += height * width
    return torch.tensor(rows, dtype=torch.int32, device=device)


def _channels(dim: int) -> int:
    """Channels of a tile: Triton's tiles are powers of two."""
    return triton.next_power_of_2(dim)


@triton.jit
def _sample_point(table, points, scale, sample, level, in_range):
    """One sample per query: its pixel position, shares of the right and lower pixels, weight and level size."""
    height = tl.load(table + 3 * level)
    width = tl.load(table + 3 * level + 1)
    first = tl.load(table + 3 * level + 2)
    x = tl.load(points + 2 * sample, mask=in_range, other=0.0) * width - 0.5
    y = tl.load(points + 2 * sample + 1, mask=in_range, other=0.0) * height - 0.5
    # two pixels outside no corner counts: farther positions, infinite ones too, need not be told apart
    x = tl.minimum(tl.maximum(x, -2.0), width + 1.0)
    y = tl.minimum(tl.maximum(y, -2.0), height + 1.0)
    weight = tl.load(scale + sample, mask=in_range, other=0.0)
    left, top = tl.floor(x), tl.floor(y)
    return height, width, first, left, top, x - left, y - top, weight


@triton.jit
def _corner(left, top, right: tl.constexpr, lower: tl.constexpr, height, width, first, in_range):
    """Token of one of the four pixels around each position, and whether it lies inside the level."""
    column, row = left.to(tl.int32) + right, top.to(tl.int32) + lower
    inside = in_range & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    token = first + row * width + column
    return token, inside


@triton.jit
def _forward_kernel(
    value, table, points, scale, out, queries, tokens,
    HEADS: tl.constexpr, DIM: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """One program: `BLOCK` queries of one head of one image."""
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    image, head = tl.program_id(1) // HEADS, tl.program_id(1) % HEADS
    channel = tl.arange(0, CHANNELS)
    in_range, in_head = query < queries, channel < DIM
    row = (image.to(tl.int64) * queries + query) * HEADS + head
    plane = value + (image.to(tl.int64) * tokens * HEADS + head) * DIM + channel

    # sum over all samples of the queries, corner by corner
    total = tl.zeros((BLOCK, CHANNELS), dtype=tl.float32)
    for level in range(LEVELS):
        for point in range(POINTS):
            sample = (row * LEVELS + level) * POINTS + point
            height, width, first, left, top, x, y, weight = _sample_point(table, points, scale, sample, level, in_range)
            for corner in tl.static_range(4):
                right: tl.constexpr = corner % 2
                lower: tl.constexpr = corner // 2
                token, inside = _corner(left, top, right, lower, height, width, first, in_range)
                share = (x if right else 1 - x) * (y if lower else 1 - y) * weight
                pixels = plane[None, :] + token.to(tl.int64)[:, None] * HEADS * DIM
                pixel = tl.load(pixels, mask=inside[:, None] & in_head[None, :], other=0.0).to(tl.float32)
                total += pixel * share[:, None]
    # one store per query and channel
    target = out + row[:, None] * DIM + channel[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=in_range[:, None] & in_head[None, :])


@triton.jit
def _backward_kernel(
    value, table, points, scale, grad_out, grad_value, grad_points, grad_scale, queries, tokens,
    HEADS: tl.constexpr, DIM: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr,
    BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """One program: gradients of all samples of `BLOCK` queries of one head of one image."""
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    image, head = tl.program_id(1) // HEADS, tl.program_id(1) % HEADS
    channel = tl.arange(0, CHANNELS)
    in_range, in_head = query < queries, channel < DIM
    row = (image.to(tl.int64) * queries + query) * HEADS + head
    offset = (image.to(tl.int64) * tokens * HEADS + head) * DIM + channel

    tile = in_range[:, None] & in_head[None, :]
    grad = tl.load(grad_out + row[:, None] * DIM + channel[None, :], mask=tile, other=0.0).to(tl.float32)
    for level in range(LEVELS):
        for point in range(POINTS):
            sample = (row * LEVELS + level) * POINTS + point
            height, width, first, left, top, x, y, weight = _sample_point(table, points, scale, sample, level, in_range)
            to_weight = tl.zeros((BLOCK,), dtype=tl.float32)
            to_x = tl.zeros((BLOCK,), dtype=tl.float32)
            to_y = tl.zeros((BLOCK,), dtype=tl.float32)
            for corner in tl.static_range(4):
                right: tl.constexpr = corner % 2
                lower: tl.constexpr = corner // 2
                token, inside = _corner(left, top, right, lower, height, width, first, in_range)
                share_x = x if right else 1 - x
                share_y = y if lower else 1 - y
                pixels = offset[None, :] + token.to(tl.int64)[:, None] * HEADS * DIM
                mask = inside[:, None] & in_head[None, :]
                pixel = tl.load(value + pixels, mask=mask, other=0.0).to(tl.float32)
                # the corner's value along the gradient serves the weight and both coordinates
                along = tl.sum(pixel * grad, axis=1)
                to_weight += share_x * share_y * along
                to_x += (share_y if right else -share_y) * along
                to_y += (share_x if lower else -share_x) * along
                tl.atomic_add(grad_value + pixels, grad * (share_x * share_y * weight)[:, None], mask=mask)
            tl.store(grad_scale + sample, to_weight, mask=in_range)
            tl.store(grad_points + 2 * sample, to_x * weight * width, mask=in_range)
            tl.store(grad_points + 2 * sample + 1, to_y * weight * height, mask=in_range)
