"""A configuration to the model that it describes."""

from __future__ import annotations

from uniref.model.referring import ReferringModel
from uniref.model.uniref import UniRef
from uniref.recipe.model import ModelConfig
from uniref.recipe.sam import AnyModelConfig


def build_model(config: AnyModelConfig) -> ReferringModel:
    """A model of either family, with fresh weights.

    Raises:
        UsageError: The backbone cannot be built.
    """
    if isinstance(config, ModelConfig):
        return UniRef(config)
    from uniref.model.sam import UniRefSam  # transformers' SAM costs a moment that UniRef++ need not pay

    return UniRefSam(config)
