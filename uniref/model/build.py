"""Builds the model that a configuration describes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from uniref.core.device import total_memory
from uniref.core.errors import UsageError
from uniref.model.referring import ReferringModel
from uniref.model.uniref import UniRef
from uniref.recipe.model import AnyModelConfig, ModelConfig

_BYTES = 4  # of a float32 value


def build_model(config: AnyModelConfig, most: int | None = None) -> ReferringModel:
    """A model of either family, with new weights.

    Args:
        config: Its sizes.
        most: Elements that its tensors may have together; None: as many as fit into this machine's memory.

    Raises:
        UsageError: The backbone cannot be built, or the model is larger than `most`.
    """
    limit = total_memory() // _BYTES if most is None else most
    with _Limit(limit):
        if isinstance(config, ModelConfig):
            return UniRef(config)
        from uniref.model.sam import UniRefSam  # transformers' SAM takes a while to import

        return UniRefSam(config)


class _Limit(TorchFunctionMode):
    """Counts the elements of new tensors before they are allocated, so that a model that does not fit is never
    built."""

    _FACTORIES = frozenset(
        (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace)
    )

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = self.left = limit

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self._FACTORIES and not _is_meta(kwargs.get("device")):
            self.left -= _requested(func, args, kwargs)
            if self.left < 0:
                raise UsageError(
                    f"the model needs more than {self.limit:,} values ({self.limit * _BYTES / 2**30:.1f} GiB), "
                    "which is all there is room for"
                )
        return func(*args, **kwargs)


def _is_meta(device: Any) -> bool:
    """Whether tensors are created on the meta device: shapes without memory."""
    return str(device) == "meta" or (device is None and torch.get_default_device().type == "meta")


def _requested(func: Any, args: Any, kwargs: Any) -> int:
    """How many elements a call will create."""
    if func in (torch.arange, torch.linspace):
        numbers = [float(value) for value in args if isinstance(value, int | float)]
        return int(max(map(abs, numbers), default=0.0))
    size = kwargs.get("size", args[0] if args and isinstance(args[0], list | tuple) else args)
    return math.prod(int(value) for value in size if isinstance(value, int | Tensor))
