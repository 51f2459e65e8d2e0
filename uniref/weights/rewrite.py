"""A checkpoint of this package written once more: in another number format, or with a smaller vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.files import read_text
from uniref.core.text import clean_text
from uniref.model.text import TextTokenizer, wordpiece
from uniref.recipe.model import TextConfig
from uniref.weights.checkpoint import load_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref.weights.conversion import ConversionReport, DType, conversion_report, save

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


def rewrite(source: Path, work: Path, dtype: DType, words: Path | None) -> ConversionReport:
    """Write a checkpoint once more.

    Args:
        source: Checkpoint folder.
        work: Existing folder to write into.
        dtype: On disk.
        words: Text file; the text encoder keeps the word pieces that it needs.

    Raises:
        CheckpointError: The source cannot be read.
        UsageError: Words are given, but the model has no text encoder or another kind of vocabulary.
        UniRefError: The text file cannot be read.
    """
    checkpoint = load_checkpoint(source)
    model, tokenizer, notes = checkpoint.config.model, checkpoint.tokenizer, []
    assert model is not None
    tensors = dict(checkpoint.model.state_dict())
    if words is not None:
        if model.text is None or tokenizer is None:
            raise UsageError(f"--words {words}: {source} has no text encoder")
        lines = read_text(words).splitlines()
        before = tokenizer.size
        tensors, text, tokenizer = trim_vocabulary(tensors, model.text, tokenizer, lines)
        model = model.model_copy(update={"text": text})
        notes.append(f"{tokenizer.size:,} of {before:,} word pieces are kept")
    config = CheckpointMetadata(
        dtype=dtype,
        model=model,
        sides=checkpoint.config.sides,
        presence=checkpoint.config.presence,
        source=checkpoint.config.source,
    )
    save(work, tensors, config, tokenizer)
    return conversion_report("checkpoint of this package", tensors, tensors, notes)
