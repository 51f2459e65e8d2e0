"""Attention of many queries to keys that all heads share, on a CPU: blockwise, in float32 or on bfloat16 products.

Three identities of the softmax make it cheap, and exact enough for bfloat16 factors:

- Taking the mean key from every key changes no weight. After it, a query's logits l have the mean zero, so that the
  sum of exp(l) is at least the number of keys, and no maximum has to be found and taken off to keep it from vanishing.
- Taking the mean value from every value takes it from the result, to which it is added again.
- sum (e v) = sum ((e - 1) v) + sum v for any weights e. Where attention is spread over many keys, e - 1 and values
  without their mean are small, and so are the errors of rounding them. For the same reason a head's mean query is
  multiplied in float32 and only what queries differ by is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniref.kernels.matmul import cpu_has_bfloat16, fast_matmul

_ROWS, _KEYS = 2048, 1024  # of the block of weights that exists at a time: it stays in the processor's cache
_LARGEST = 96.0  # logit to the base 2 up to which neither a weight nor a sum of weights or products overflows


def shared_key_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    finish: Callable[[Tensor], Tensor],
    rounded: bool = False,
) -> Tensor:
    """Attention of all heads over the same keys, for several objects that differ in their values only.

    The weights are computed once and serve every object.

    Args:
        query: Float32 [Q, H, C].
        keys: Float32 [K, C], without padding.
        values: Float32 [N, K, C], without padding.
        scale: Factor of the products of queries and keys.
        finish: What to do with the result [N, q, H, C] of q queries, giving [N, q, D].
        rounded: Multiply in bfloat16 (sums stay float32 inside a product), where the CPU has it.

    Returns:
        Float32 [N, Q, D]: `finish` of softmax(scale * query keys^T) values.
    """
    count, _, dim = values.shape
    heads = query.shape[1]
    memory = _Memory.of(keys * (scale * math.log2(math.e)), values, rounded and cpu_has_bfloat16())
    finished = []
    # products of bfloat16 factors say so by their type; those meant to be float32 (`finish`, the heads' mean query)
    # must stay so on processors that would round them, too
    with fast_matmul(query.device):
        for part in query.split(max(1, _ROWS // heads)):
            finished.append(finish(memory.attend(part).view(-1, heads, count, dim).permute(2, 0, 1, 3)))
    return torch.cat(finished, dim=1)


@dataclass(frozen=True)
class _Memory:
    """Keys and values in blocks of `_KEYS`, ready to be attended to."""

    blocks: Sequence[tuple[Tensor, Tensor]]
    """Keys without their mean [C, k], values without theirs [k, N * C]; float32, or rounded to bfloat16."""
    keys: Tensor
    """Keys without their mean, not rounded, [K, C]."""
    mean: Tensor
    """Of the values, float32 [N * C]."""
    total: Tensor
    """Sum of the blocks' values (zero but for rounding), float32 [N * C]."""
    longest: float
    """Norm of the longest key."""
    rounded: bool
    """Factors are bfloat16."""

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, rounded: bool) -> _Memory:
        """Of keys [K, C], whose products with queries are logits to the base 2, and values [N, K, C]."""
        dtype = torch.bfloat16 if rounded else torch.float32
        keys = keys - keys.mean(0)
        mean = values.mean(1, keepdim=True)
        turned_values = (values - mean).transpose(0, 1).flatten(1).to(dtype)
        blocks = [
            (k.T.to(dtype).contiguous(), v) for k, v in zip(keys.split(_KEYS), turned_values.split(_KEYS), strict=True)
        ]
        total = turned_values.float().sum(0)
        return cls(blocks, keys, mean.flatten(), total, float(keys.norm(dim=-1).max()), rounded)

    def attend(self, query: Tensor) -> Tensor:
        """Float32 queries [Q, H, C] -> the softmax's mean of the values, float32 [Q * H, N * C]."""
        rows, top = query.shape[:2].numel(), None
        if float(query.norm(dim=-1).max()) * self.longest > _LARGEST:
            parts = self.keys.split(_KEYS)
            top = torch.stack([(query.flatten(0, 1) @ part.T).amax(-1, keepdim=True) for part in parts]).amax(0)
        base = 1.0 if top is None else torch.exp2(-top)
        common = query.mean(0)  # of the heads, [H, C]
        factor = (query - common).flatten(0, 1).to(torch.bfloat16) if self.rounded else query.flatten(0, 1)
        # written again and again: fresh memory for every block would cost more than the arithmetic
        products = torch.empty(rows * _KEYS, dtype=factor.dtype)
        exact = torch.empty(rows * _KEYS) if self.rounded else products
        partial = torch.empty(rows, len(self.mean), dtype=factor.dtype)
        attended, weight = torch.zeros(rows, len(self.mean)), torch.zeros(rows, 1)
        for index, (keys, values) in enumerate(self.blocks):
            size = keys.shape[1]
            product, e = (x[: rows * size].view(rows, size) for x in (products, exact))
            torch.mm(factor, keys, out=product)
            if self.rounded:
                e.copy_(product)
                e.view(*query.shape[:2], size).add_(common @ self.keys[index * _KEYS :][:size].T)
            if top is not None:
                e.sub_(top)
            e.exp2_()
            weight += e.sum(-1, keepdim=True)
            if self.rounded:
                product.copy_(e.sub_(base))
                attended += torch.mm(product, values, out=partial)
            else:
                torch.addmm(attended, e, values, out=attended)
        if self.rounded:
            attended += self.total * base
        return attended.div_(weight).add_(self.mean)
