"""A checkpoint with fewer words: what a small model's text encoder does not need is left out of its vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.text import clean_text
from uniref.model.text import TextTokenizer, wordpiece
from uniref.recipe.model import TextConfig

_EMBEDDINGS = "text_encoder.body.embeddings.word_embeddings.weight"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def trim_vocabulary(
    tensors: Mapping[str, Tensor], config: TextConfig, tokenizer: TextTokenizer, texts: Iterable[str]
) -> tuple[dict[str, Tensor], TextConfig, TextTokenizer]:
    """Keep the word pieces that some texts need, and every single character, so that any word can be spelt.

    Words of the texts are split as before, because WordPiece takes the longest piece and none of theirs is lost: the
    model computes the same for them. Other words come in smaller pieces than before.

    Args:
        tensors: Of the whole model, by our names.
        config: Of its text encoder.
        tokenizer: A WordPiece tokenizer.
        texts: Lines of words or phrases.

    Raises:
        UsageError: The tokenizer has no word pieces (RoBERTa's, say).
    """
    pieces = tokenizer.vocabulary()
    if not all(piece in pieces for piece in _SPECIAL):
        raise UsageError("--words: this text encoder's vocabulary is not made of BERT's word pieces; leave --words out")
    kept = {pieces[piece] for piece in _SPECIAL}
    kept |= {number for piece, number in pieces.items() if len(piece.removeprefix("##")) == 1}
    lines = [line for line in texts if clean_text(line).strip()]
    for start in range(0, len(lines), 1024):
        ids, valid = tokenizer(lines[start : start + 1024])
        kept |= set(ids[valid].tolist())
    order = sorted(kept)
    names = {number: piece for piece, number in pieces.items()}
    small = TextTokenizer(wordpiece([names[number] for number in order]), config.max_tokens)
    encoder = {**config.encoder, "vocab_size": len(order)}
    rows = tensors[_EMBEDDINGS][torch.tensor(order)]
    return {**tensors, _EMBEDDINGS: rows}, config.model_copy(update={"encoder": encoder}), small
