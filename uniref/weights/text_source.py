"""A pretrained text encoder from a Hugging Face folder, to give to a model that has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from uniref.model.tokenizer import TextTokenizer
from uniref.recipe.model import TextConfig
from uniref.weights.convert_common import fitting_tokenizer, inferred
from uniref.weights.hub_folder import weights_file
from uniref.weights.infer import infer_text
from uniref.weights.rename import Rule, check_finite, rename
from uniref.weights.safe_load import read_weights

_BODY = r"(?:bert\.|roberta\.)?"
_RULES = [
    # heads of the pretraining tasks, and what can be computed
    Rule(r"(?:cls|lm_head)\..+|" + _BODY + r"(?:pooler\..+|embeddings\.(?:position|token_type)_ids)", None),
    Rule(_BODY + r"(.+)\.gamma", r"text_encoder.body.\1.weight"),  # as TensorFlow called them
    Rule(_BODY + r"(.+)\.beta", r"text_encoder.body.\1.bias"),
    Rule(_BODY + r"((?:embeddings|encoder)\..+)", r"text_encoder.body.\1"),
]


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
    weights = weights_file(folder)
    tensors, _ = read_weights(weights)
    check_finite(tensors, str(weights))
    renamed = rename(tensors, _RULES, str(weights))
    config = inferred(infer_text, renamed, str(weights))
    file = folder / "tokenizer.json"
    tokenizer = fitting_tokenizer(config, file if file.is_file() else None)
    assert tokenizer is not None
    return TextSource(config, renamed, tokenizer)
