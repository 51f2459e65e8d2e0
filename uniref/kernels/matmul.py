"""Faster float32 matrix products on CPUs, without changing their results.

PyTorch multiplies float32 matrices with MKL, which is slow on processors of other makers. Its other library, oneDNN, is
selected by a switch that also permits bfloat16 inside. Where oneDNN turns out to compute in full float32 all the same,
the switch is free speed; where it does not (processors with matrix tiles), it is left alone.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch

_LARGE = 1 << 17  # pixels of an image from which oneDNN pays
_EXACT = 1e-4  # largest deviation from float64 of a sum of 256 products of standard normal numbers


def _switch() -> object | None:
    """PyTorch's switch, or None in versions that lack it."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return matmul if hasattr(matmul, "fp32_precision") and torch.backends.mkldnn.is_available() else None


@contextlib.contextmanager
def _permitted() -> Iterator[None]:
    switch = _switch()
    if switch is None:
        yield
        return
    before = switch.fp32_precision  # type: ignore[attr-defined]
    switch.fp32_precision = "bf16"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        switch.fp32_precision = before  # type: ignore[attr-defined]


@functools.cache
def onednn_is_exact() -> bool:
    """Whether oneDNN computes float32 products in full precision although it may use bfloat16 (tried once)."""
    if _switch() is None:
        return False
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(64, 256, generator=generator)
    b = torch.randn(256, 64, generator=generator)
    with torch.inference_mode(), _permitted():
        product = a @ b
    return float((product.double() - a.double() @ b.double()).abs().max()) < _EXACT


def fast_matmul(images: torch.Tensor | None = None) -> contextlib.AbstractContextManager[None]:
    """Use oneDNN for float32 products on the CPU inside the block, where it does not round their factors.

    Args:
        images: The images that the block works on, [B, 3, H, W]. Those of small ones gain nothing and keep MKL's
            rounding: rounding alone can swap two queries of nearly equal score. None: whatever the size.
    """
    large = images is None or images.shape[-2:].numel() >= _LARGE
    return _permitted() if large and onednn_is_exact() else contextlib.nullcontext()


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)
