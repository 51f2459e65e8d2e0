"""Activation checkpointing: keep the inputs of layers, compute what is inside once more in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from uniref.model.uniref import UniRef


def recompute_activations(model: UniRef) -> list[nn.Module]:
    """Checkpoint the backbone's blocks, the text encoder's and the transformer's layers, and the fusion, in place.

    Names of parameters stay as they are.

    Returns:
        The blocks and layers, of whose calls only the arguments are kept.
    """
    layers = [*model.transformer.encoder, *model.transformer.decoder, *blocks(model.backbone.body)]
    if model.text_encoder is not None:
        layers += blocks(model.text_encoder.body)
    for layer in layers:
        layer.forward = _checkpointed(layer, layer.forward)
    if model.fusion is not None:
        model.fusion.fuse = _checkpointed(model.fusion, model.fusion.fuse)  # type: ignore[method-assign]
    return layers


def blocks(network: nn.Module) -> list[nn.Module]:
    """The layers of a network: what the outermost sequences hold, as far as it has parts of its own."""
    found: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            found += [block for block in child if any(block.children())]
        else:
            found += blocks(child)
    return found


def _checkpointed(module: nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose intermediate values are not kept while `module` is being trained."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, **kwargs)

    return call
