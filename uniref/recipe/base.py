"""The strict base class of configurations, and bounds on model sizes, timm options and transformers settings.

Recipes and checkpoints come from anywhere: a small file must not make a library load files, reach a hub, or allocate
without bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _check_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r:.80} is not a regular expression ({error})") from None
    return value


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A regular expression."""


class Strict(BaseModel):
    """Base of configurations: unknown keys are errors, instances are immutable, docstrings describe the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PluginConfig(Strict):
    """Something that another installed package declares as an entry point."""

    name: str = Field(min_length=1)
    """Of the entry point."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments that it is called with."""


Width = Annotated[int, Field(ge=1, le=16_384)]
"""Channels of a layer."""
Layers = Annotated[int, Field(ge=1, le=128)]
"""Layers, blocks or stages in a row."""
Heads = Annotated[int, Field(ge=1, le=256)]
"""Heads of an attention."""
Hidden = Annotated[int, Field(ge=1, le=65_536)]
"""Hidden units of a feed-forward network."""

_BACKBONE_NUMBERS = 8192
_MOST_BLOCKS = 256
_TEXT_NUMBERS = {"vocab_size": 1_000_000, "intermediate_size": 65_536, "max_position_embeddings": 65_536}
_TEXT_DEFAULT = 16_384
_TEXT_LAYERS = 128
_TEXT_SIZES = ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "intermediate_size")
_FORBIDDEN_OPTIONS = {
    "cache_dir": "files are named in `init`",
    "checkpoint_path": "weights are named in `init`",
    "pretrained": "weights are named in `init`, and nothing is downloaded",
    "pretrained_cfg": "weights are named in `init`",
    "pretrained_cfg_overlay": "weights are named in `init`",
}
TEXT_MODELS = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie", "data2vec-text", "mpnet")
"""Encoders of transformers that texts can be read with; none of them takes code or files from its settings."""


def check_backbone(name: str, options: Mapping[str, Any]) -> None:
    """Check a backbone's name and options, which go to timm.

    Raises:
        ValueError: The name leads to a hub, an option makes timm load a file, or a number is out of bounds.
    """
    if not name.replace("_", "").replace(".", "").isalnum() or not name.isascii():
        raise ValueError(f"name {name!r:.80}: is not the name of a timm model")
    for key, value in options.items():
        if key in _FORBIDDEN_OPTIONS:
            raise ValueError(f"options.{key}: is not an option here; {_FORBIDDEN_OPTIONS[key]}")
        largest = 64 if "window" in key else _BACKBONE_NUMBERS
        _check_value(f"options.{key}", value, largest)
        blocks = sum(each for each in value if isinstance(each, int)) if isinstance(value, list | tuple) else 0
        if key in ("layers", "depths", "depth") and blocks > _MOST_BLOCKS:
            raise ValueError(f"options.{key}: is more than {_MOST_BLOCKS} blocks")


def check_text_encoder(settings: Mapping[str, Any]) -> None:
    """Check a text encoder's settings, which go to transformers.

    Raises:
        ValueError: A model that is not a text encoder, a setting that is not a plain value, a number out of bounds.
    """
    kind = settings.get("model_type")
    if kind not in TEXT_MODELS:
        raise ValueError(f"encoder.model_type {kind!r:.80}: is not a text encoder; use one of {', '.join(TEXT_MODELS)}")
    for key, value in settings.items():
        plain = value is None or isinstance(value, bool | int | float | str)
        if key.startswith("_") or key == "auto_map" or not plain:
            raise ValueError(f"encoder.{key:.80}: is not a setting that is a plain value")
        largest = _TEXT_NUMBERS.get(key, _TEXT_LAYERS if key.startswith("num_") else _TEXT_DEFAULT)
        _check_value(f"encoder.{key}", value, largest)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if key in _TEXT_SIZES and not whole:
            raise ValueError(f"encoder.{key}: is {value!r:.40}, not a whole number from 1 to {largest:,}")


def _check_value(location: str, value: Any, largest: int) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _check_value(f"{location}.{key}", entry, largest)
    elif isinstance(value, list | tuple):
        if len(value) > _MOST_BLOCKS:
            raise ValueError(f"{location}: has more than {_MOST_BLOCKS} entries")
        for entry in value:
            _check_value(location, entry, largest)
    elif not isinstance(value, int | float) or isinstance(value, bool):
        return
    elif not math.isfinite(value) or not 0 <= value <= largest:
        raise ValueError(f"{location}: is {value:.6g}, not a number from 0 to {largest:,}")
