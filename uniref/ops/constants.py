"""Small constant tensors, kept on their device: copying one to a GPU makes the host wait for all work before it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Rows = tuple[float, ...] | tuple[tuple[float, ...], ...]


def constant(values: Rows, like: Tensor) -> Tensor:
    """`like.new_tensor(values)`, made once per dtype and device; not to be changed in place.

    Args:
        values: Numbers, or rows of numbers.
        like: Gives dtype and device.
    """
    if torch.compiler.is_compiling():  # a constant of the compiled graph
        return like.new_tensor(values)
    return _kept(values, like.dtype, like.device)


@lru_cache(maxsize=512)
def _kept(values: Rows, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # made while predicting, it may be needed for training
        return torch.tensor(values, dtype=dtype, device=device)
