"""UniFusion on a CPU: products of the attention in the order that costs least.

The projections of the plain module can change sides. A head's logits (W_q f) . (W_k k) are (W_k^T W_q f) . k or
f . (W_q^T W_k k), and W_o (P (W_v v)) is (W_o W_v) (P v) or P (W_o W_v v), where P are the attention weights; the keys'
bias cancels in the softmax.

- Many tokens (masks): fold the projections of both sides into the query's and the output's. All heads then attend to
  the same keys and values, which need no projection, and objects of one reference frame share their attention weights.
- Few tokens (a text): fold them into the tokens instead. Nothing as wide as all heads together is computed for a
  feature.

Where neither gains anything, the plain products stay: rounding alone can swap two queries of nearly equal score.

Axes: N objects, Q feature tokens, K reference tokens, C width, H heads, D channels of a head.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.kernels import InferenceKernel
from uniref.kernels.multi_query_attention import multi_query_attention
from uniref.model.structures import ProjectedTokens, ReferenceTokens
from uniref.model.unifusion import UniFusion

_MANY_TOKENS = 1024  # of features (and of a mask reference), from which another order pays


class NarrowUniFusion(InferenceKernel, UniFusion):
    """`UniFusion` whose heads are narrower than the model (D < C): only attention to few tokens is reordered.

    Args:
        plain: The module to replace; its parameters are shared.
    """

    def __init__(self, plain: UniFusion) -> None:
        InferenceKernel.__init__(self)
        self.heads, self.head_dim, self.dropout = plain.heads, plain.head_dim, plain.dropout
        self.query_norm, self.key_norm, self.modulation = plain.query_norm, plain.key_norm, plain.modulation
        self.query, self.key, self.value, self.out = plain.query, plain.key, plain.value, plain.out

    def attend(self, normed: Tensor, reference: ProjectedTokens) -> Tensor:
        """As `UniFusion.attend`."""
        few = reference.values.shape[1] <= self.head_dim and normed.shape[1] >= _MANY_TOKENS
        return self._attend_to_few(normed, reference) if few else super().attend(normed, reference)

    def _attend_to_few(self, normed: Tensor, reference: ProjectedTokens) -> Tensor:
        split = (self.heads, self.head_dim)
        keys, values, padding = without_padding(reference)
        return attend_to_few_tokens(
            normed,
            torch.einsum("nkhd,hdq->nqhk", keys, self.query.weight.unflatten(0, split)),
            torch.einsum("nkhd,hd->nhk", keys, self.query.bias.unflatten(0, split)),
            torch.einsum("nkhd,chd->nhkc", values, self.out.weight.unflatten(1, split)),
            padding,
            self.head_dim**-0.5,
            self.out.bias,
        )


class FoldedUniFusion(NarrowUniFusion):
    """`UniFusion` whose heads are at least as wide as the model (D >= C), as the released one's are.

    References keep normalised keys and the values themselves, float32, as one head that all query heads share (H = 1,
    D = C: multi-query attention). Short references are projected when they are attended to.

    Args:
        plain: The module to replace; its parameters are shared.
        bfloat16_matmul: Multiply in bfloat16 in attention to many tokens; needs a CPU with such products.
    """

    query_weight: Tensor
    """W_k^T W_q of every head, [H * C, C]."""
    query_bias: Tensor
    """[H * C]."""
    out_weight: Tensor
    """W_o W_v of every head, [C, H * C]."""
    out_bias: Tensor
    """[C]."""

    def __init__(self, plain: UniFusion, bfloat16_matmul: bool = False) -> None:
        super().__init__(plain)
        self.bfloat16_matmul = bfloat16_matmul
        split = (self.heads, self.head_dim)
        with torch.no_grad():
            wq, wk, wv = (layer.weight.unflatten(0, split) for layer in (plain.query, plain.key, plain.value))
            wo = plain.out.weight.unflatten(1, split)  # [C, H, D]
            bias = torch.einsum("hdk,hd->hk", wk, plain.query.bias.unflatten(0, split))
            self.register_buffer("query_weight", torch.einsum("hdk,hdq->hkq", wk, wq).flatten(0, 1))
            self.register_buffer("query_bias", bias.flatten())
            self.register_buffer("out_weight", torch.einsum("chd,hdv->chv", wo, wv).flatten(1))
            self.register_buffer("out_bias", F.linear(plain.value.bias, plain.out.weight, plain.out.bias))

    def project(self, tokens: ReferenceTokens) -> ProjectedTokens:
        """Normalised keys [N or 1, K, 1, C] and values [N, K, 1, C], float32."""
        keys, values = self.key_norm(tokens.keys).float(), tokens.values.float()
        return ProjectedTokens(keys[:, :, None], values[:, :, None], tokens.padding, tokens.embedding)

    def attend(self, normed: Tensor, reference: ProjectedTokens) -> Tensor:
        """As `UniFusion.attend`."""
        if min(normed.shape[1], reference.values.shape[1]) >= _MANY_TOKENS:
            return self._attend_to_many(normed, reference)
        split = (self.heads, self.head_dim)
        keys = self.key(reference.keys.flatten(2)).unflatten(2, split)
        values = self.value(reference.values.flatten(2)).unflatten(2, split)
        return super().attend(normed, replace(reference, keys=keys, values=values))

    def _attend_to_many(self, normed: Tensor, reference: ProjectedTokens) -> Tensor:
        query = F.linear(normed, self.query_weight, self.query_bias)  # [N or 1, Q, H * C]
        count, shared = len(reference.values), len(reference.keys) == 1
        # objects with the same queries and keys are attended to together
        groups = [slice(None)] if shared and len(query) == 1 else [slice(i, i + 1) for i in range(count)]
        attended = []
        for group in groups:
            rows = query if len(query) == 1 else query[group]
            keys = reference.keys[0, :, 0] if shared else reference.keys[group][0, :, 0]
            values = reference.values[group][:, :, 0]
            if reference.padding is not None:
                keep = ~(reference.padding[0] if shared else reference.padding[group][0])
                keys, values = keys[keep], values[:, keep]
            attended.append(
                multi_query_attention(
                    rows[0].unflatten(1, (self.heads, -1)),
                    keys,
                    values,
                    self.head_dim**-0.5,
                    project_out=lambda x: F.linear(x.flatten(2), self.out_weight, self.out_bias),
                    bfloat16_matmul=self.bfloat16_matmul,
                )
            )
        return torch.cat(attended) if len(attended) > 1 else attended[0]


def without_padding(reference: ProjectedTokens) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys, values and padding without the tokens that are padded for every object."""
    if reference.padding is None:
        return reference.keys, reference.values, None
    kept = ~reference.padding.all(0)
    padding = reference.padding[:, kept]
    return reference.keys[:, kept], reference.values[:, kept], padding if bool(padding.any()) else None


def attend_to_few_tokens(
    normed: Tensor, keys: Tensor, key_bias: Tensor, values: Tensor, padding: Tensor | None, scale: float, bias: Tensor
) -> Tensor:
    """Attention to tokens that carry the projections of both sides.

    Args:
        normed: Normalised features, float [N or 1, Q, C].
        keys: Of every head, in the features' space, float [N or 1, C, H, K].
        key_bias: Added to the logits of each key, float [N or 1, H, K].
        values: Of every head, in the output's space, float [N, H, K, C].
        padding: Bool [N or 1, K], or None.
        scale: Of the logits.
        bias: Added to the result, float [C].

    Returns:
        Float [N, Q, C].
    """
    logits = (normed @ keys.flatten(2) + key_bias.flatten(1)[:, None]).unflatten(2, key_bias.shape[1:]) * scale
    if padding is not None:
        logits = logits.masked_fill(padding[:, None, None], -math.inf)  # [N or 1, Q, H, K]
    return logits.softmax(-1).flatten(2).to(values.dtype) @ values.flatten(1, 2) + bias
