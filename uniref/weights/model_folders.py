"""Model folders of the Hugging Face libraries: their file of weights, the settings of a SAM, text encoders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from uniref.core.errors import CheckpointError
from uniref.core.json_files import read_json
from uniref.model.text import TextTokenizer
from uniref.recipe.model import TextConfig
from uniref.weights.config_from_shapes import infer_text_config
from uniref.weights.conversion import infer_checked, tokenizer_for
from uniref.weights.safe_load import read_weights


def weights_file(folder: Path) -> Path:
    """The one file of weights in a Hugging Face folder. Raises CheckpointError without one."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: has no model.safetensors or pytorch_model.bin; name a folder with a model")


def read_settings(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder with a SAM.

    Raises:
        CheckpointError: It is missing, damaged, or of another model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: is a folder, but not one with a model (it has no config.json)")
    settings = read_json(path, CheckpointError)
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if kind != "sam":
        raise CheckpointError(f"{path}: is a {kind!r:.40} model; of such folders only SAM ('sam') can be converted")
    return dict(settings)


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
    config = infer_checked(infer_text_config, tensors, str(folder))
    file = folder / "tokenizer.json"
    tokenizer = tokenizer_for(config, file if file.is_file() else None)
    assert tokenizer is not None
    return TextSource(config, tensors, tokenizer)


def read_text_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the encoder in such a folder, floating-point ones as float32.

    Heads and poolers of other tasks, and position ids, are left out.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    stored, _ = read_weights(weights_file(folder))
    tensors = {}
    for name, tensor in stored.items():
        short = re.sub(r"^(?:bert|roberta|model|0\.auto_model)\.", "", name)
        short = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", short))  # names of TensorFlow checkpoints
        if short.startswith(("embeddings.", "encoder.")) and not short.endswith("_ids"):
            tensors[short] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors
