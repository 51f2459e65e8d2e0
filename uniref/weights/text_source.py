"""A pretrained text encoder from a Hugging Face folder, to give to a model that has none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from uniref.model.text import TextTokenizer
from uniref.recipe.model import TextConfig
from uniref.weights.convert_common import fitting_tokenizer, inferred
from uniref.weights.hub_folder import weights_file
from uniref.weights.infer import infer_text
from uniref.weights.safe_load import read_weights

_BODY = "text_encoder.body."


@dataclass(frozen=True)
class TextSource:
    """A BERT-like encoder without a projection."""

    config: TextConfig
    tensors: dict[str, Tensor]
    """`text_encoder.body.*` -> tensor."""
    tokenizer: TextTokenizer


def read_text_source(folder: Path) -> TextSource:
    """Read a folder with `model.safetensors` (or `pytorch_model.bin`) and, beside bert-base-uncased, `tokenizer.json`.

    Raises:
        CheckpointError: A file is missing or damaged, or it is not a BERT or RoBERTa.
    """
    tensors = {_BODY + name: tensor for name, tensor in read_text_tensors(folder).items()}
    config = inferred(infer_text, tensors, str(folder))
    file = folder / "tokenizer.json"
    tokenizer = fitting_tokenizer(config, file if file.is_file() else None)
    assert tokenizer is not None
    return TextSource(config, tensors, tokenizer)


def read_text_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the encoder in such a folder, floating-point ones as float32.

    Heads and poolers of other tasks, and what can be computed, are left out.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    found, _ = read_weights(weights_file(folder))
    tensors = {}
    for name, tensor in found.items():
        short = re.sub(r"^(?:bert|roberta|model|0\.auto_model)\.", "", name)
        short = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", short))  # as TensorFlow called them
        if short.startswith(("embeddings.", "encoder.")) and not short.endswith("_ids"):
            tensors[short] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors
