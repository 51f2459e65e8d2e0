"""UniFusion (UniRef++, Sec. 3 and Fig. 2b): one cross attention injects any reference into any feature map.

For features f and a reference with keys k, values v and embedding e:

    a = MultiHeadAttention(q = LN(f), k = LN(k), v = v)
    shift, scale, gate = Linear(SiLU(e))
    f' = f + gate * (a * (1 + scale) + shift)

Shift, scale and gate are those of adaLN-Zero (Peebles and Xie, DiT, 2023): their layer starts at zero, so that a new
module is the identity.

Axes: B batch, N objects, Q feature tokens, K reference tokens, C width, H heads, D channels of a head.
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
        dropout: Dropout of attention weights in training.
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
        """Keys and values of every head; computed once for a reference that serves many frames."""
        split = (self.heads, self.head_dim)
        return ProjectedTokens(
            keys=self.key(self.key_norm(tokens.keys)).unflatten(2, split),
            values=self.value(tokens.values).unflatten(2, split),
            padding=tokens.padding,
            embedding=tokens.embedding,
        )

    def fuse(self, features: Tensor, references: Sequence[ProjectedTokens]) -> Tensor:
        """Add every reference's term; all of them are computed from the same features.

        Args:
            features: Float [B, Q, C]; B may be 1 while the references have batch N (one image, N objects).
            references: At least one; equal batch sizes.

        Returns:
            Float [N, Q, C].
        """
        normed = self.query_norm(features)
        fused = features
        for reference in references:
            attended = self.attend(normed, reference)
            shift, scale, gate = self.modulation(F.silu(reference.embedding))[:, None].chunk(3, dim=-1)
            fused = fused + gate * (attended * (1 + scale) + shift)
        return fused

    def attend(self, normed: Tensor, reference: ProjectedTokens) -> Tensor:
        """Multi-head attention from normalised features [N or 1, Q, C] to a reference: [N, Q, C]."""
        count, tokens = reference.values.shape[:2]
        query = self.query(normed).unflatten(2, (self.heads, self.head_dim))
        attended = cross_attention(
            query.expand(count, -1, -1, -1).to(reference.values.dtype),
            reference.keys.expand(count, -1, -1, -1),
            reference.values,
            None if reference.padding is None else reference.padding.expand(count, tokens),
            self.dropout if self.training else 0.0,
        )
        return self.out(attended.flatten(2))
