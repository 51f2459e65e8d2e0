"""Adapters: the trained tensors of a model whose other parts are those of a SAM checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from uniref.core.errors import CheckpointError


class AdapterConfig(BaseModel):
    """What an adapter was trained over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    """Checkpoint folder of the frozen parts, relative to the adapter's own."""
    frozen_sha256: str
    """Of the frozen tensors, see `frozen_digest`."""


def frozen_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hexadecimal) over names, shapes and values of tensors, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def over_base(
    own: Mapping[str, Tensor], base: Mapping[str, Tensor], config: AdapterConfig, folder: Path
) -> dict[str, Tensor]:
    """An adapter's tensors and, for all others, those of its base: the frozen ones.

    Args:
        own: The adapter's tensors.
        base: The base checkpoint's tensors.
        config: Of the adapter.
        folder: Where the base is, for messages.

    Raises:
        CheckpointError: The base's frozen tensors are not those that the adapter was trained over.
    """
    frozen = {name: tensor for name, tensor in base.items() if name not in own}
    if frozen_digest(frozen) != config.frozen_sha256:
        raise CheckpointError(
            f"{folder}: its frozen weights are not those that the adapter was trained over; name the SAM that it was"
        )
    return frozen | dict(own)
