"""Modules that replace those of `uniref.model` for inference, chosen once by `uniref.kernels.prepare`.

Each computes the function of the module that it replaces, up to rounding, and can be tested alone against it.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from uniref.core.errors import UsageError

_Kernel = TypeVar("_Kernel", bound="InferenceKernel")


class InferenceKernel(nn.Module):
    """Base of the replacements: they are in evaluation mode and have no backward pass."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # the plain module's parameters are taken over, not initialised again
        self.training = False

    def train(self: _Kernel, mode: bool = True) -> _Kernel:
        """Training mode is refused. Raises UsageError."""
        if mode:
            raise UsageError("this model was prepared for inference and cannot be trained; load the checkpoint again")
        return super().train(mode)
