"""The text reference (SPEC section 3): a BERT-like encoder and its projection."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from uniref.model.structures import ReferenceTokens
from uniref.recipe.model import TextConfig


class TextEncoder(nn.Module):
    """Words to reference tokens: last hidden states -> Linear -> LayerNorm -> dropout."""

    def __init__(self, config: TextConfig, dim: int) -> None:
        super().__init__()
        options: dict[str, Any] = dict(config.encoder)
        encoder = AutoConfig.for_model(options.pop("model_type"), **options)
        self.body = AutoModel.from_config(encoder, add_pooling_layer=False)
        self.projection = nn.Linear(encoder.hidden_size, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, valid: Tensor) -> ReferenceTokens:
        """Encode a batch of texts.

        Args:
            ids: Token ids, int64 [B, K].
            valid: Bool [B, K], True = a real token (special tokens included).

        Returns:
            Tokens whose keys and values are the word features [B, K, C] and whose embedding is their mean over
            valid tokens.
        """
        hidden = self.body(input_ids=ids, attention_mask=valid.long()).last_hidden_state
        words = self.dropout(self.norm(self.projection(hidden)))
        weight = valid[..., None].to(words.dtype)
        sentence = (words * weight).sum(1) / weight.sum(1)
        return ReferenceTokens(words, words, ~valid, sentence)
