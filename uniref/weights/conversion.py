"""Steps that all conversions share: configuration from tensors, the tokenizer, writing, and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor

from uniref.core.errors import CheckpointError
from uniref.model.text import TextTokenizer
from uniref.recipe.model import TextConfig
from uniref.weights.checkpoint import CheckpointMetadata, save_checkpoint
from uniref.weights.rename import check_fit, listing

DType = Literal["float32", "float16", "bfloat16"]
T = TypeVar("T")


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
