"""Text references: tokenizer, and a BERT-like encoder with its projection.

Axes: B texts, K tokens, C width.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from uniref.core.errors import CheckpointError, UsageError
from uniref.core.files import reading
from uniref.core.json_files import read_json
from uniref.core.text import clean_text
from uniref.model.structures import ReferenceTokens
from uniref.recipe.model import TextConfig


class TextEncoder(nn.Module):
    """Token ids to reference tokens: last hidden states -> Linear -> LayerNorm -> dropout.

    Args:
        config: The Hugging Face configuration of the encoder, and the dropout.
        dim: Width C.
    """

    def __init__(self, config: TextConfig, dim: int) -> None:
        super().__init__()
        # takes seconds to import; data loaders that only tokenise do without it
        from transformers import AutoConfig, AutoModel

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
            Keys and values are the token features [B, K, C]; the embedding is their mean over valid tokens.
        """
        hidden = self.body(input_ids=ids, attention_mask=valid.long()).last_hidden_state
        tokens = self.dropout(self.norm(self.projection(hidden)))
        weight = valid[..., None].to(tokens.dtype)
        sentence = (tokens * weight).sum(1) / weight.sum(1)
        return ReferenceTokens(tokens, tokens, ~valid, sentence)


_MOST_STEPS = 32


class TextTokenizer:
    """Texts to padded batches of token ids.

    Args:
        tokenizer: A `tokenizers.Tokenizer` that adds the special tokens itself.
        max_tokens: Longest sequence, special tokens included; longer texts are truncated.
        path: The file it was read from, for messages.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, path: Path | None = None) -> None:
        self._tokenizer = tokenizer
        self._path = path
        self._pad_id = _pad_id(tokenizer)
        self.max_tokens = max_tokens
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)

    @classmethod
    def bert_base_uncased(cls, max_tokens: int = 77) -> TextTokenizer:
        """The bundled bert-base-uncased WordPiece vocabulary (30,522 entries)."""
        text = (resources.files("uniref") / "assets/bert_base_uncased/vocab.txt").read_text("utf-8")
        return cls(wordpiece(text.splitlines()), max_tokens)

    @classmethod
    def from_file(cls, path: Path, max_tokens: int = 77) -> TextTokenizer:
        """A `tokenizer.json` as the Hugging Face libraries write it.

        Raises:
            CheckpointError: The file is missing or not a tokenizer.
        """
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; it belongs beside the weights")
        content = read_json(path, CheckpointError)
        with reading(path, CheckpointError):
            _check_growth(path, content)
            tokenizer = Tokenizer.from_file(str(path))
        return cls(tokenizer, max_tokens, path)

    @property
    def size(self) -> int:
        """Entries of the vocabulary."""
        return self._tokenizer.get_vocab_size()

    def vocabulary(self) -> dict[str, int]:
        """Token -> id."""
        return dict(self._tokenizer.get_vocab())

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Clean, tokenise and pad to the longest text.

        Returns:
            ids int64 [B, K] and valid bool [B, K] with K <= max_tokens.

        Raises:
            UsageError: A text is empty after cleaning.
            CheckpointError: The tokenizer gives a token that is not in its own vocabulary.
        """
        # clean as the released system does
        cleaned = [clean_text(text) for text in texts]
        for text, original in zip(cleaned, texts, strict=True):
            if not text.strip():
                raise UsageError(f"text {original!r}: no words in it; describe the object to segment")
        # tokenise
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(cleaned)]
        largest = max((number for row in rows for number in row), default=0)
        if largest >= self.size:
            raise CheckpointError(f"{self._path}: gives token {largest:,}, but has {self.size:,} words")
        # pad to the longest
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad_id, dtype=torch.int64)
        valid = torch.zeros(len(rows), longest, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            valid[index, : len(row)] = True
        return ids, valid

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into a checkpoint folder."""
        self._tokenizer.save(str(folder / "tokenizer.json"))


def _check_growth(path: Path, content: Any) -> None:
    """Refuse steps before tokenising that make texts longer and longer: a few of them fill any memory.

    Raises:
        CheckpointError: A replacement is longer than what it replaces, or there are very many steps.
    """
    steps = [content.get("normalizer")] if isinstance(content, dict) else []
    count = 0
    while steps:
        step, count = steps.pop(), count + 1
        if count > _MOST_STEPS:
            raise CheckpointError(f"{path}: has more than {_MOST_STEPS} steps of normalisation")
        if not isinstance(step, dict):
            continue
        steps += step.get("normalizers") or []
        if step.get("type") == "Replace":
            pattern, new = step.get("pattern") or {}, str(step.get("content", ""))
            if len(new) > max(1, len(str(pattern.get("String", "")))):
                raise CheckpointError(f"{path}: replaces by something longer ({new!r:.40}), which texts do not need")


def wordpiece(vocabulary: Sequence[str]) -> Tokenizer:
    """An uncased BERT tokenizer over `vocabulary` (must hold [PAD], [UNK], [CLS], [SEP])."""
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def _pad_id(tokenizer: Tokenizer) -> int:
    ids = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
    return next((number for number in ids if number is not None), 0)
