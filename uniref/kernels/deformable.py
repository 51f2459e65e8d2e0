"""Multi-scale deformable attention on a CPU: one weighted gather-and-sum (`embedding_bag`) per query and head.

`grid_sample`, which the plain module uses, walks one channel after the other and writes every sample. Here a sample is
a weighted sum of four rows of D contiguous values, so that the output of a query and head is one bag of 4 * L * P rows,
and nothing of the size of all samples is ever written.

Axes: B batch, S tokens of all levels, Q queries, C width, H heads, D channels of a head, L levels, P sampling points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.kernels import InferenceKernel
from uniref.model.deformable_layers import DeformableAttention
from uniref.ops.ms_deform_attn import Sizes

_QUERIES = 512  # sampled at a time: their indices stay in the processor's cache


class BagDeformableAttention(InferenceKernel, DeformableAttention):
    """`DeformableAttention` by `sample_bags`.

    For reference points (the encoder's queries, of which there are many), the coordinates of all samples come from one
    matrix product with all x before all y, so that every later step runs over long rows.

    Args:
        plain: The module to replace; its parameters are shared.
    """

    points_weight: Tensor
    """Of x, y and attention weight of every head, level and point: [3 * H * L * P, C]."""
    points_bias: Tensor
    """[3 * H * L * P]."""

    def __init__(self, plain: DeformableAttention) -> None:
        InferenceKernel.__init__(self)
        self.heads, self.levels, self.points = plain.heads, plain.levels, plain.points
        self.sampling_offsets, self.attention_weights = plain.sampling_offsets, plain.attention_weights
        self.value_proj, self.output_proj = plain.value_proj, plain.output_proj
        offsets, weights = plain.sampling_offsets, plain.attention_weights  # offsets in the order x, y, x, y, ...
        with torch.no_grad():
            weight = torch.cat([offsets.weight[0::2], offsets.weight[1::2], weights.weight])
            bias = torch.cat([offsets.bias[0::2], offsets.bias[1::2], weights.bias])
        self.register_buffer("points_weight", weight)
        self.register_buffer("points_bias", bias)

    def forward(
        self, query: Tensor, references: Tensor, tokens: Tensor, sizes: Sizes, padding: Tensor | None
    ) -> Tensor:
        """As `DeformableAttention.forward`."""
        value = self.project_values(tokens, padding)
        if references.shape[-1] == 2:
            x, y, weights = self._samples_around_points(query, references, sizes)
        else:
            locations, weights = self.sampling_points(query, references, sizes)
            extent = locations.new_tensor([(w, h) for h, w in sizes])[:, None]
            x, y = ((locations * extent - 0.5)[..., axis].flatten(2) for axis in (0, 1))
            weights = weights.flatten(2)
        return self.output_proj(sample_bags(value, sizes, x, y, weights, self.points))

    def _samples_around_points(self, query: Tensor, references: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
        """x and y in pixels of their level (0 = the first pixel's centre) and attention weights, [B, Q, H * L * P]
        each."""
        count = self.heads * self.levels * self.points
        rows = F.linear(query, self.points_weight, self.points_bias).float()
        weights = rows[..., 2 * count :].unflatten(-1, (self.heads, -1)).softmax(-1).flatten(2)
        anchors = references * references.new_tensor([(w, h) for h, w in sizes]) - 0.5
        # a product with ones and zeros copies each level's anchor to its heads and points; it must not round
        copies = torch.eye(self.levels).repeat_interleave(self.points, 1).repeat(1, self.heads)
        with torch.autocast(query.device.type, enabled=False):
            x = rows[..., :count] + anchors[..., 0] @ copies
            y = rows[..., count : 2 * count] + anchors[..., 1] @ copies
        return x, y, weights


def sample_bags(value: Tensor, sizes: Sizes, x: Tensor, y: Tensor, weights: Tensor, points: int) -> Tensor:
    """`uniref.ops.ms_deform_attn.ms_deform_attn` with coordinates in pixels, on a CPU, without gradients.

    Args:
        value: Float [B, S, H, D], the levels' tokens one after the other, row-major.
        sizes: (height, width) of each level.
        x, y: Coordinates in pixels of their level, 0 = the first pixel's centre, float32 [B, Q, H * L * P].
        weights: Float32 [B, Q, H * L * P].
        points: P.

    Returns:
        [B, Q, H * D], dtype of `value`.
    """
    batch, _, heads, dim = value.shape
    table = _PaddedLevels(value, sizes, points)
    out = value.new_empty(batch, x.shape[1], heads, dim)
    for image in range(batch):
        for start in range(0, x.shape[1], _QUERIES):
            rows = slice(start, start + _QUERIES)
            index, share = table.corners(image, x[image, rows], y[image, rows], weights[image, rows])
            bags = F.embedding_bag(index, table.rows, per_sample_weights=share.to(value.dtype), mode="sum")
            out[image, rows] = bags.view(-1, heads, dim)
    return out.flatten(2)


class _PaddedLevels:
    """The values as one flat table of rows, every level with a border of zeros, so that no corner needs a bounds check.

    A level of h x w pixels takes h + 4 lines of w + 1 pixels. The zero before every line is also the one after the line
    above it, and a coordinate clamped to -1 .. w reads up to two zeros after the last pixel, with share 0.

    Args:
        value: Float [B, S, H, D].
        sizes: (height, width) of each level.
        points: P.
    """

    def __init__(self, value: Tensor, sizes: Sizes, points: int) -> None:
        batch, _, self.heads, dim = value.shape
        # copy every level into its bordered part of the table
        lengths = [(h + 4) * (w + 1) for h, w in sizes]
        self.image_rows = sum(lengths) * self.heads
        table = value.new_zeros(batch, sum(lengths), self.heads, dim)
        first_pixels, begin = [], 0
        levels = value.split([h * w for h, w in sizes], dim=1)
        for (h, w), level, length in zip(sizes, levels, lengths, strict=True):
            bordered = table[:, begin : begin + length].view(batch, h + 4, w + 1, self.heads, dim)
            bordered[:, 1 : h + 1, 1:] = level.view(batch, h, w, self.heads, dim)
            first_pixels.append(begin + w + 2)
            begin += length
        self.rows = table.view(-1, dim)

        # constants of every head, level and point: [H * L * P], as long as what they are added to
        def per_sample(of_levels: list[int]) -> Tensor:
            return torch.tensor(of_levels, dtype=torch.int32).repeat_interleave(points).repeat(self.heads)

        self.width, self.height = per_sample([w for _, w in sizes]).float(), per_sample([h for h, _ in sizes]).float()
        self.line = per_sample([(w + 1) * self.heads for _, w in sizes])
        head = torch.arange(self.heads, dtype=torch.int32)
        first_rows = per_sample([pixel * self.heads for pixel in first_pixels])
        self.first = first_rows + head.repeat_interleave(len(sizes) * points)

    def corners(self, image: int, x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Table rows (int32) and shares (float32) of the four pixels around every sample: [Q * H, 4 * L * P] each.

        Args:
            image: Row of the batch.
            x, y, weights: Float32 [Q, H * L * P].
        """
        queries, samples = len(x), x.shape[1] // self.heads
        # the upper left pixel, and the share of the right and of the lower pixels
        x, y = x.clamp(min=-1).minimum(self.width), y.clamp(min=-1).minimum(self.height)
        left, top = x.floor(), y.floor()
        x, y = x - left, y - top

        # table rows: upper left, upper right (one pixel on), then both of the line below
        index = torch.empty(queries, self.heads, 4, samples, dtype=torch.int32)
        pixel = top.to(torch.int32).mul_(self.line).add_(left.to(torch.int32), alpha=self.heads)
        index[:, :, 0] = pixel.add_(self.first + image * self.image_rows).view(queries, self.heads, samples)
        torch.add(index[:, :, 0], self.heads, out=index[:, :, 1])
        torch.add(index[:, :, :2], self.line.view(self.heads, 1, samples), out=index[:, :, 2:])

        # shares: the weight, divided between upper and lower line, then between left and right pixel
        share = torch.empty(queries, self.heads, 4, samples)
        right, weights, lower = (z.view(queries, self.heads, samples) for z in (x, weights.contiguous(), y * weights))
        for row, line in ((0, weights - lower), (2, lower)):
            torch.mul(line, right, out=share[:, :, row + 1])
            torch.sub(line, share[:, :, row + 1], out=share[:, :, row])
        return index.flatten(0, 1).flatten(1), share.flatten(0, 1).flatten(1)
