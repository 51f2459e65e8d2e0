"""Cross attention that skips padded keys: flash-attn where it is installed and applies, else PyTorch.

Axes: B batch, Q queries, K keys, H heads, D channels of a head.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_FLASH_MAX_HEAD_DIM = 256


@functools.cache
def _flash_attn() -> Any | None:
    """The flash-attn package, or None where it is not installed or does not load."""
    try:
        import flash_attn
    except (ImportError, OSError):  # OSError: built for another CUDA or torch
        return None
    return flash_attn


def flash_applies(q: Tensor) -> bool:
    """Whether flash-attn can run on `q` [B, Q, H, D]: installed, CUDA, half precision, D <= 256."""
    return (
        q.is_cuda
        and q.dtype in (torch.float16, torch.bfloat16)
        and q.shape[-1] <= _FLASH_MAX_HEAD_DIM
        and _flash_attn() is not None
    )


def cross_attention(q: Tensor, k: Tensor, v: Tensor, key_padding: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Softmax attention of every query over the keys that are not padded, scale D ** -0.5.

    Args:
        q: [B, Q, H, D].
        k, v: [B, K, H, D], dtype of `q`.
        key_padding: bool [B, K], True = skip this key; None = no padding. Every row needs one valid key.
        dropout: Probability with which attention weights are dropped (0 outside training).

    Returns:
        [B, Q, H, D], dtype of `q`.
    """
    attend = _attend_flash if flash_applies(q) else attend_sdpa
    return attend(q, k, v, key_padding, dropout)


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, key_padding: Tensor | None, dropout: float) -> Tensor:
    """`cross_attention` with PyTorch's scaled dot-product attention; runs on every device."""
    mask = None if key_padding is None else ~key_padding[:, None, None, :]
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, dropout_p=dropout
    )
    return out.transpose(1, 2)


def _attend_flash(q: Tensor, k: Tensor, v: Tensor, key_padding: Tensor | None, dropout: float) -> Tensor:
    """`cross_attention` with flash-attn; padded keys are packed away (variable-length kernel)."""
    flash = _flash_attn()
    assert flash is not None
    if key_padding is None:
        return flash.flash_attn_func(q, k, v, dropout_p=dropout)
    return attend_packed(flash.flash_attn_varlen_func, q, k, v, key_padding, dropout)


def attend_packed(
    kernel: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, key_padding: Tensor, dropout: float
) -> Tensor:
    """Run a variable-length attention kernel on the unpadded keys only.

    Args:
        kernel: Called as flash-attn's `flash_attn_varlen_func`: packed q [B*Q, H, D] and k, v [valid, H, D], the
            cumulative lengths (int32 [B + 1]) and longest lengths of both, `dropout_p`.
        q, k, v, key_padding, dropout: As for `cross_attention`.

    Returns:
        [B, Q, H, D].
    """
    batch, queries = q.shape[:2]
    keep = ~key_padding
    lengths = keep.sum(dim=1, dtype=torch.int32)
    cu_k = F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    cu_q = torch.arange(0, (batch + 1) * queries, queries, dtype=torch.int32, device=q.device)
    out = kernel(q.flatten(0, 1), k[keep], v[keep], cu_q, cu_k, queries, int(lengths.max()), dropout_p=dropout)
    return out.view_as(q)
