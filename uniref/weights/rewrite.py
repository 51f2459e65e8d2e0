"""A checkpoint folder of this package to another one: another number format on disk, fewer words."""

from __future__ import annotations

from pathlib import Path

from uniref.core.errors import UsageError
from uniref.core.files import read_text
from uniref.weights.bundle import BundleConfig, load_bundle
from uniref.weights.convert_common import Converted, DType, report, save
from uniref.weights.vocabulary import trim_vocabulary


def rewrite(source: Path, work: Path, dtype: DType, words: Path | None) -> Converted:
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
    bundle = load_bundle(source)
    model, tokenizer, notes = bundle.config.model, bundle.tokenizer, []
    assert model is not None
    tensors = dict(bundle.model.state_dict())
    if words is not None:
        if model.text is None or tokenizer is None:
            raise UsageError(f"--words {words}: {source} has no text encoder")
        lines = read_text(words).splitlines()
        before = tokenizer.size
        tensors, text, tokenizer = trim_vocabulary(tensors, model.text, tokenizer, lines)
        model = model.model_copy(update={"text": text})
        notes.append(f"{tokenizer.size:,} of {before:,} word pieces are kept")
    config = BundleConfig(dtype=dtype, model=model, sides=bundle.config.sides, source=bundle.config.source)
    save(work, tensors, config, tokenizer)
    return report("checkpoint of this package", tensors, tensors, notes)
