"""One training batch: made by `uniref.data.train`, used by model and losses.

Axes: B samples, S reference images per sample, N objects of an image, K text tokens, H x W the padded network input
(multiples of 32; query and reference images may differ in size). A "padding" is bool with True = padded.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from uniref.core.tasks import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Targets:
    """Ground truth of one image."""

    boxes: Tensor
    """Float32 [N, 4], cxcywh as fractions of the unpadded image."""
    classes: Tensor
    """Int64 [N]; 0 for class-agnostic training, 0..364 for Objects365."""
    masks: Tensor | None
    """Bool [N, H, W] at network input size, or None where only boxes are known."""


@dataclass(frozen=True)
class TextTokens:
    """Tokenised expressions, one per sample."""

    ids: Tensor
    """Int64 [B, K]."""
    valid: Tensor
    """Bool [B, K], True = a real token."""


@dataclass(frozen=True)
class ReferenceImages:
    """Images with masks that show the object to segment: supports (FSS), or earlier frames of the clip (VOS, RVOS)."""

    images: Tensor
    """Normalised, float [B, S, 3, H, W]."""
    padding: Tensor
    """Bool [B, S, H, W]."""
    masks: Tensor
    """Bool [B, S, H, W]: the object in each."""


@dataclass(frozen=True)
class Batch:
    """B samples of one task and one data set."""

    task: Task
    images: Tensor
    """The images to segment, normalised and padded, float [B, 3, H, W]."""
    padding: Tensor
    """Bool [B, H, W]."""
    targets: tuple[Targets, ...]
    """One per image."""
    text: TextTokens | None = None
    references: ReferenceImages | None = None
    extra: Any = None
    """What an extension adds: a dataclass of tensors."""
    ids: tuple[str, ...] = ()
    """Names of the samples, for logs: `refcoco-mixed/train:1234`."""

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Batch:
        """The same batch with every tensor on `device`."""
        return _moved(self, device)

    def share_memory(self) -> None:
        """Move every tensor into memory that processes share. Raises RuntimeError where there is no room."""
        _mapped(self, lambda x: x.share_memory_())

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (the data loader calls this)."""
        return _mapped(self, lambda x: x.pin_memory())


def _moved(value: T, device: torch.device) -> T:
    return _mapped(value, lambda x: x.to(device, non_blocking=True))


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(x, change) for x in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _mapped(getattr(value, f.name), change) for f in fields(value)})
    return value
