"""Steps that all conversions share: folders of the Hugging Face libraries, sizes, tokenizer, writing, report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from uniref.core.errors import CheckpointError
from uniref.core.json_files import read_json
from uniref.model.text import TextTokenizer
from uniref.recipe.model import TextConfig
from uniref.weights.checkpoint import save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref.weights.config_from_shapes import infer_text_config
from uniref.weights.rename import check_fit, listing
from uniref.weights.safe_load import read_weights

DType = Literal["float32", "float16", "bfloat16"]
T = TypeVar("T")
_BODY = "text_encoder.body."


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


@dataclass(frozen=True)
class ConversionReport:
    """Result of a conversion."""

    kind: str
    """Kind of the source, as recognised."""
    tensors: int
    """Tensors written."""
    parameters: int
    """Values in them."""
    redundant: int
    """Source tensors left out because they repeat or can be computed."""
    notes: tuple[str, ...]
    """Remarks about the result, for the user."""


def infer_checked(infer: Callable[[Mapping[str, Tensor]], T], tensors: Mapping[str, Tensor], source: str) -> T:
    """Call a function of `config_from_shapes`. Raises CheckpointError where the tensors fit no model."""
    try:
        return infer(tensors)
    except KeyError as error:
        raise CheckpointError(f"{source}: missing tensors: {error.args[0]}") from None
    # a tensor of another rank, a zero-sized one, sizes that no model has
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source}: its shapes fit no model ({str(error).splitlines()[-1].strip()})") from None


def fit_to_model(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The tensors that a model needs, checked. Raises CheckpointError as `check_fit`."""
    scalars = {  # some writers store a counter as a list of one
        name: tensor.reshape(())
        for name, tensor in tensors.items()
        if tensor.shape == (1,) and name in expected and expected[name].dim() == 0
    }
    complete = dict(tensors) | scalars
    check_fit(complete, expected, source)
    return complete


def tokenizer_for(text: TextConfig | None, path: Path | None) -> TextTokenizer | None:
    """The tokenizer at `path` (bert-base-uncased's without one) if its vocabulary has the size of the text encoder's.

    Raises:
        CheckpointError: It has not, or cannot be read.
    """
    if text is None:
        return None
    size = text.encoder["vocab_size"]
    if path is None:
        tokenizer, name = TextTokenizer.bert_base_uncased(text.max_tokens), "the bundled bert-base-uncased"
    else:
        file = path / "tokenizer.json" if path.is_dir() else path
        tokenizer, name = TextTokenizer.from_file(file, text.max_tokens), str(file)
    if tokenizer.size != size:
        raise CheckpointError(
            f"the text encoder has {size} words but {name} vocabulary has {tokenizer.size}; "
            "name its tokenizer.json with --tokenizer"
        )
    return tokenizer


def save(work: Path, tensors: dict[str, Tensor], config: CheckpointMetadata, tokenizer: TextTokenizer | None) -> None:
    """Write the checkpoint folder. Raises CheckpointError where float16 cannot hold the values."""
    if config.dtype == "float16":
        limit = torch.finfo(torch.float16).max
        large = [name for name, t in tensors.items() if t.is_floating_point() and t.numel() and t.abs().max() > limit]
        if large:
            raise CheckpointError(f"values too large for float16 in {listing(large)}; use --dtype bfloat16")
    save_checkpoint(work, tensors, config, tokenizer)


def conversion_report(
    kind: str, source: Mapping[str, Tensor], written: Mapping[str, Tensor], notes: Sequence[str]
) -> ConversionReport:
    """Count the tensors that were read and written."""
    return ConversionReport(
        kind=kind,
        tensors=len(written),
        parameters=sum(t.numel() for t in written.values()),
        redundant=max(0, len(source) - len(written)),
        notes=tuple(notes),
    )
