"""UniFusion (SPEC section 4): one module injects any reference into any feature map.

    a     = MultiHeadAttention(q = LN_q(f), k = LN_k(keys), v = values)
    shift, scale, gate = Linear(SiLU(embedding))
    f'    = f + gate * (a * (1 + scale) + shift)

The modulation's weights start at zero, so a fresh module is the identity.
Axes: B batch, Q feature tokens, K reference tokens, C width, H heads, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from uniref.model.structures import ProjectedTokens, ReferenceTokens
from uniref.ops.attention import cross_attention


class UniFusion(nn.Module):
    """Cross attention from features to a reference, added through a gate that the reference controls.

    Args:
        dim: Width C of features and references.
        heads: Attention heads H.
        head_dim: Channels D of a head; H * D may differ from C.
        dropout: Dropout of attention weights, training only.
    """

    def __init__(self, dim: int, heads: int = 8, head_dim: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout
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
        split = (*tokens.keys.shape[:2], self.heads, self.head_dim)
        return ProjectedTokens(
            keys=self.key(self.key_norm(tokens.keys)).view(split),
            values=self.value(tokens.values).view(split),
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
        batch, tokens, _ = features.shape
        query = self.query(self.query_norm(features)).view(batch, tokens, self.heads, self.head_dim)
        fused = features
        for reference in references:
            count = len(reference.keys)
            attended = cross_attention(
                query.expand(count, -1, -1, -1).to(reference.keys.dtype),
                reference.keys,
                reference.values,
                reference.padding,
                self.dropout if self.training else 0.0,
            )
            term = self.out(attended.flatten(2))
            shift, scale, gate = self.modulation(F.silu(reference.embedding))[:, None].chunk(3, dim=-1)
            fused = fused + gate * (term * (1 + scale) + shift)
        return fused
