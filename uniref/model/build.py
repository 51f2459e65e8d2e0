"""A configuration to the model that it describes."""

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
    """A model of either family, with fresh weights.

    Args:
        config: Its sizes.
        most: Values that its tensors may have together; None: as many as fit into this machine's memory.

    Raises:
        UsageError: The backbone cannot be built, or the model is larger than `most`.
    """
    limit = total_memory() // _BYTES if most is None else most
    with _Limit(limit):
        if isinstance(config, ModelConfig):
            return UniRef(config)
        from uniref.model.sam import UniRefSam  # transformers' SAM costs a moment that UniRef++ need not pay

        return UniRefSam(config)


class _Limit(TorchFunctionMode):
    """Counts the values of new tensors before they are made, so that a model that does not fit is never begun."""

    _FACTORIES = frozenset(
        (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace)
    )

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = self.left = limit

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self._FACTORIES and not _is_meta(kwargs.get("device")):
            self.left -= _asked(func, args, kwargs)
            if self.left < 0:
                raise UsageError(
                    f"the model needs more than {self.limit:,} values ({self.limit * _BYTES / 2**30:.1f} GiB), "
                    "which is all there is room for"
                )
        return func(*args, **kwargs)


def _is_meta(device: Any) -> bool:
    """Whether tensors are made on the device that gives them sizes and no memory."""
    return str(device) == "meta" or (device is None and torch.get_default_device().type == "meta")


def _asked(func: Any, args: Any, kwargs: Any) -> int:
    """How many values a call will make."""
    if func in (torch.arange, torch.linspace):
        numbers = [float(value) for value in args if isinstance(value, int | float)]
        return int(max(map(abs, numbers), default=0.0))
    size = kwargs.get("size", args[0] if args and isinstance(args[0], list | tuple) else args)
    return math.prod(int(value) for value in size if isinstance(value, int | Tensor))
