"""UniFusion (SPEC section 4): one module injects any reference into any feature map.

    a     = MultiHeadAttention(q = LN_q(f), k = LN_k(keys), v = values)
    shift, scale, gate = Linear(SiLU(embedding))
    f'    = f + gate * (a * (1 + scale) + shift)

The modulation starts at zero, so a fresh module is the identity.
Axes: B batch, Q feature tokens, K reference tokens, C width, H heads, D channels of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniref.kernels.multi_query_attention import shared_key_attention
from uniref.model.structures import ProjectedTokens, ReferenceTokens
from uniref.ops.attention import cross_attention

_MANY_TOKENS = 1024  # of a reference or of features, from which folding projections pays


class UniFusion(nn.Module):
    """Cross attention from features to a reference, added through a gate that the reference controls.

    Args:
        dim: Width C of features and references.
        heads: Attention heads H.
        head_dim: Channels D of a head; H * D may differ from C.
        dropout: Dropout of attention weights, training only.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        head_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout
        self.rounded = False
        """Multiply in bfloat16 in folded attention, which is otherwise float32."""
        self._folded: _Fold | None = None
        self.query_norm = nn.LayerNorm(dim)
        self.key_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, heads * head_dim)
        self.key = nn.Linear(dim, heads * head_dim)
        self.value = nn.Linear(dim, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, dim)
        self.modulation = nn.Linear(dim, 3 * dim)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, features: Tensor, keys: Tensor, values: Tensor, embedding: Tensor, key_padding: Tensor | None = None
    ) -> Tensor:
        """Fuse one reference into features.

        Args:
            features: Float [B, Q, C].
            keys, values: Float [B, K, C] (K may differ from Q); values are not normalised.
            embedding: Float [B, C], the reference's summary.
            key_padding: Bool [B, K], True = skip; None = none. Every row needs one valid key.

        Returns:
            Float [B, Q, C].
        """
        return self.fuse(features, [self.project(ReferenceTokens(keys, values, key_padding, embedding))])

    def project(self, tokens: ReferenceTokens) -> ProjectedTokens:
        """The reference's side of the attention; worth keeping where a reference serves many frames."""
        keys = self.key_norm(tokens.keys)
        if self._folds(keys):
            return ProjectedTokens(keys.float(), tokens.values.float(), tokens.padding, tokens.embedding)
        return ProjectedTokens(
            keys=self.key(keys).unflatten(2, (self.heads, self.head_dim)),
            values=self.value(tokens.values).unflatten(2, (self.heads, self.head_dim)),
            padding=tokens.padding,
            embedding=tokens.embedding,
        )

    def fuse(self, features: Tensor, references: Sequence[ProjectedTokens]) -> Tensor:
        """Add every reference's term, all computed from the same features (SPEC section 4).

        Args:
            features: Float [B, Q, C]; B may be 1 while the references have batch N (one image, N objects).
            references: At least one; equal batch sizes.

        Returns:
            Float [N, Q, C].
        """
        normed = self.query_norm(features)
        fused = features
        for reference in references:
            term = self._attend_to(normed, reference)
            shift, scale, gate = self.modulation(F.silu(reference.embedding))[:, None].chunk(3, dim=-1)
            fused = fused + gate * (term * (1 + scale) + shift)
        return fused

    def _attend_to(self, features: Tensor, reference: ProjectedTokens) -> Tensor:
        if reference.folded:
            return self._attend_folded(features, reference)
        few = reference.values.shape[1] <= self.head_dim
        if few and features.shape[1] >= _MANY_TOKENS and features.device.type == "cpu" and not torch.is_grad_enabled():
            return self._attend_to_few(features, reference)
        return self._attend(features, reference)

    def _attend(self, features: Tensor, reference: ProjectedTokens) -> Tensor:
        """Normalised features [B or 1, Q, C] -> the attention's result [N, Q, C]."""
        count, tokens = len(reference.values), reference.values.shape[1]
        query = self.query(features).unflatten(2, (self.heads, self.head_dim))
        attended = cross_attention(
            query.expand(count, -1, -1, -1).to(reference.values.dtype),
            reference.keys.expand(count, -1, -1, -1),
            reference.values,
            None if reference.padding is None else reference.padding.expand(count, tokens),
            self.dropout if self.training else 0.0,
        )
        return self.out(attended.flatten(2))

    # Where nothing is trained, the projections can change sides: a head's logits (W_q f) . (W_k k) are
    # (W_k^T W_q f) . k, and W_o (P (W_v v)) is (W_o W_v) (P v), while the keys' bias cancels in the softmax. All
    # heads then attend to the same keys and values, neither of which has to be projected or kept per head, and
    # objects of one reference frame share the attention weights.

    @property
    def foldable(self) -> bool:
        """Whether heads are as wide as the model: else folding costs more than it saves."""
        return self.head_dim >= self.query.in_features

    def _folds(self, keys: Tensor) -> bool:
        """Whether to fold: many tokens, on a CPU."""
        many = keys.shape[1] >= _MANY_TOKENS and keys.device.type == "cpu"
        return many and self.foldable and not torch.is_grad_enabled()

    def _attend_folded(self, features: Tensor, reference: ProjectedTokens) -> Tensor:
        """`_attend` with folded projections."""
        with torch.autocast("cpu", enabled=False):
            fold = self._fold()
        query = F.linear(features, fold.query_weight, fold.query_bias)  # [B or 1, Q, H * C]
        count, shared = len(reference.values), len(reference.keys) == 1
        groups = [slice(None)] if shared and len(query) == 1 else [slice(i, i + 1) for i in range(count)]
        terms = []
        for group in groups:
            rows = query if len(query) == 1 else query[group]
            keys = reference.keys[0] if shared else reference.keys[group][0]
            values = reference.values[group]
            if reference.padding is not None:
                keep = ~(reference.padding[0] if shared else reference.padding[group][0])
                keys, values = keys[keep], values[:, keep]
            terms.append(
                shared_key_attention(
                    rows[0].unflatten(1, (self.heads, -1)),
                    keys,
                    values,
                    self.head_dim**-0.5,
                    finish=lambda x: F.linear(x.flatten(2), fold.out_weight, fold.out_bias),
                    rounded=self.rounded or torch.is_autocast_enabled("cpu"),
                )
            )
        return torch.cat(terms) if len(terms) > 1 else terms[0]

    def _attend_to_few(self, features: Tensor, reference: ProjectedTokens) -> Tensor:
        """`_attend` to a reference with fewer tokens than a head has channels (a text), projecting those alone.

        A head's logits (W_q f) . k are f . (W_q^T k), and W_o (P v) is P (W_o v): nothing of the width of all heads is
        made for any feature token.
        """
        split = (self.heads, self.head_dim)
        keys, values, padding = reference.keys, reference.values, reference.padding
        if padding is not None:  # no object has these tokens
            kept = ~padding.all(0)
            keys, values, padding = keys[:, kept], values[:, kept], padding[:, kept]
        turned = torch.einsum("nkhd,hdc->nchk", keys, self.query.weight.unflatten(0, split)).flatten(2)
        offset = torch.einsum("nkhd,hd->nhk", keys, self.query.bias.unflatten(0, split)).flatten(1)[:, None]
        logits = (features @ turned + offset).unflatten(2, (self.heads, -1)) * self.head_dim**-0.5  # [N, Q, H, K]
        if padding is not None and bool(padding.any()):
            logits = logits.masked_fill(padding[:, None, None], -math.inf)
        drawn = torch.einsum("nkhd,chd->nhkc", values, self.out.weight.unflatten(1, split)).flatten(1, 2)
        return logits.softmax(-1).flatten(2).to(drawn.dtype) @ drawn + self.out.bias

    def _fold(self) -> _Fold:
        """The folded projections of the present weights."""
        weights = [p for layer in (self.query, self.key, self.value, self.out) for p in (layer.weight, layer.bias)]
        version = tuple((id(p), p._version) for p in weights)
        if self._folded is None or self._folded.version != version:
            split = (self.heads, self.head_dim)
            wq, wk, wv = (layer.weight.unflatten(0, split) for layer in (self.query, self.key, self.value))
            wo = self.out.weight.unflatten(1, split)  # [C, H, D]
            self._folded = _Fold(
                version=version,
                query_weight=torch.einsum("hdk,hdq->hkq", wk, wq).flatten(0, 1),
                query_bias=torch.einsum("hdk,hd->hk", wk, self.query.bias.unflatten(0, split)).flatten(),
                out_weight=torch.einsum("chd,hdv->chv", wo, wv).flatten(1),
                out_bias=F.linear(self.value.bias, self.out.weight, self.out.bias),
            )
        return self._folded


@dataclass(frozen=True)
class _Fold:
    """Products of projections, see `UniFusion._attend_folded`."""

    version: tuple[tuple[int, int], ...]
    """Of the weights they were made from."""
    query_weight: Tensor
    """[H * C, C]."""
    query_bias: Tensor
    """[H * C]."""
    out_weight: Tensor
    """[C, H * C]."""
    out_bias: Tensor
    """[C]."""
