"""Multi-query attention (Shazeer, 2019: all heads share one set of keys and values) on a CPU, block by block.

Three identities of the softmax make it cheap, and exact enough for factors in bfloat16:

- Subtracting the mean key from every key changes no weight. A query's logits l then have the mean zero, so that the sum
  of exp(l) is at least the number of keys, and needs no maximum subtracted to keep it from vanishing.
- Subtracting the mean value from every value subtracts it from the result, to which it is added again.
- sum (e v) = sum ((e - 1) v) + sum v for any weights e. Where attention is spread over many keys, e - 1 and values
  without their mean are small, and so are the errors of rounding them. For the same reason a head's mean query is
  multiplied in float32, and only the queries' differences from it are rounded.

Axes: N objects, Q queries, K keys, H heads, C width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_ROWS, _KEYS = 2048, 1024  # of the block of weights that exists at a time: it stays in the processor's cache
_LARGEST = 96.0  # logit to the base 2 up to which neither a weight nor a sum of weights or products overflows


def multi_query_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    project_out: Callable[[Tensor], Tensor],
    bfloat16_matmul: bool = False,
) -> Tensor:
    """Attention of all heads to the same keys, for several objects that differ in their values only.

    The weights are computed once and serve every object.

    Args:
        query: Float32 [Q, H, C].
        keys: Float32 [K, C], without padding.
        values: Float32 [N, K, C], without padding.
        scale: Of the logits.
        project_out: The output projection: takes the result [N, q, H, C] of q queries, gives [N, q, D].
        bfloat16_matmul: Multiply in bfloat16; the sums inside a product stay float32.

    Returns:
        Float32 [N, Q, D]: `project_out` of softmax(scale * query keys^T) values.
    """
    count, _, dim = values.shape
    heads = query.shape[1]
    blocks = _Blocks.of(keys * (scale * math.log2(math.e)), values, bfloat16_matmul)
    projected = []
    for rows in query.split(max(1, _ROWS // heads)):
        attended = blocks.attend(rows).view(-1, heads, count, dim).permute(2, 0, 1, 3)
        projected.append(project_out(attended))
    return torch.cat(projected, dim=1)


@dataclass(frozen=True)
class _Blocks:
    """Keys and values in blocks of `_KEYS`."""

    blocks: Sequence[tuple[Tensor, Tensor]]
    """Keys minus their mean [C, k] and values minus theirs [k, N * C], both float32 or bfloat16."""
    keys: Tensor
    """Keys minus their mean, float32 [K, C]."""
    mean: Tensor
    """Of the values, float32 [N * C]."""
    total: Tensor
    """Sum of the blocks' values (zero but for rounding), float32 [N * C]."""
    longest: float
    """Norm of the longest key."""
    bfloat16: bool

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, bfloat16: bool) -> _Blocks:
        """Of keys [K, C], whose products with queries are logits to the base 2, and values [N, K, C]."""
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        keys = keys - keys.mean(0)
        mean = values.mean(1, keepdim=True)
        centred = (values - mean).transpose(0, 1).flatten(1).to(dtype)
        pairs = zip(keys.split(_KEYS), centred.split(_KEYS), strict=True)
        blocks = [(k.T.to(dtype).contiguous(), v) for k, v in pairs]
        longest = float(keys.norm(dim=-1).max())
        return cls(blocks, keys, mean.flatten(), centred.float().sum(0), longest, bfloat16)

    def attend(self, query: Tensor) -> Tensor:
        """Float32 queries [Q, H, C] -> the softmax's mean of the values, float32 [Q * H, N * C]."""
        rows = query.shape[:2].numel()
        # where a logit could overflow, the largest one of each row is subtracted
        largest = None
        if float(query.norm(dim=-1).max()) * self.longest > _LARGEST:
            parts = self.keys.split(_KEYS)
            largest = torch.stack([(query.flatten(0, 1) @ part.T).amax(-1, keepdim=True) for part in parts]).amax(0)
        one = 1.0 if largest is None else torch.exp2(-largest)  # the weight of a logit of zero
        # in bfloat16: the heads' mean query [H, C] apart from what queries differ by
        common = query.mean(0)
        factor = (query - common).flatten(0, 1).to(torch.bfloat16) if self.bfloat16 else query.flatten(0, 1)
        # buffers that every block writes again: new memory for each would cost more than the arithmetic
        products = torch.empty(rows * _KEYS, dtype=factor.dtype)
        exact = torch.empty(rows * _KEYS) if self.bfloat16 else products
        partial = torch.empty(rows, len(self.mean), dtype=factor.dtype)
        attended, weight = torch.zeros(rows, len(self.mean)), torch.zeros(rows, 1)
        for index, (keys, values) in enumerate(self.blocks):
            size = keys.shape[1]
            product, e = (x[: rows * size].view(rows, size) for x in (products, exact))
            # logits
            torch.mm(factor, keys, out=product)
            if self.bfloat16:
                e.copy_(product)
                e.view(*query.shape[:2], size).add_(common @ self.keys[index * _KEYS :][:size].T)
            # weights
            if largest is not None:
                e.sub_(largest)
            e.exp2_()
            weight += e.sum(-1, keepdim=True)
            # weighted values
            if self.bfloat16:
                product.copy_(e.sub_(one))
                attended += torch.mm(product, values, out=partial)
            else:
                torch.addmm(attended, e, values, out=attended)
        if self.bfloat16:
            attended += self.total * one
        return attended.div_(weight).add_(self.mean)
