"""Devices, numeric precision, the size of main memory, and how the C library keeps freed memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path
from typing import Literal, get_args

import torch

from uniref.core.errors import UsageError

Precision = Literal["float32", "bfloat16", "float16"]
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # parameters of mallopt, from glibc's malloc.h
_UNKNOWN = 1 << 34  # assumed where the system does not say


def resolve_device(name: str) -> torch.device:
    """A usable device: `auto` (CUDA, else Apple's GPU, else CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UsageError: Unknown, or not present on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device {name!r}: unknown; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UsageError(f"device {name!r}: this machine has {count} usable CUDA devices; use --device cpu")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError("device 'mps': not available on this machine; use --device cpu")
    elif device.type != "cpu":
        raise UsageError(f"device {name!r}: not supported; use auto, cpu, cuda, cuda:N or mps")
    return device


def best_precision(device: torch.device) -> Precision:
    """Mixed precision on CUDA, float32 elsewhere."""
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Mixed precision for a block; nothing for float32.

    Raises:
        UsageError: `precision` is not float32, bfloat16 or float16.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"precision {precision!r}: use {', '.join(get_args(Precision))}")
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def without_autocast(x: torch.Tensor) -> contextlib.AbstractContextManager[None]:
    """Full precision for a block of work on the device of `x`, also under autocast. On the meta device, nothing."""
    return contextlib.nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def total_memory() -> int:
    """Bytes of main memory, of the machine or of the container that this runs in."""
    total = _UNKNOWN
    with contextlib.suppress(ValueError, OSError, AttributeError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(name).read_text("ascii")))
    return total


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks for later ones of their size, instead of returning large ones to the system.

    A training step on a CPU allocates the same hundreds of megabytes again and again; by default glibc returns each
    large block, and the system clears and maps it again page by page. Measured for `recipes/small.yaml`: 13 % less CPU
    time per step with 16 images of 192 x 256, no difference with 4. The process holds its peak memory until it ends.

    Returns:
        Whether it took effect: only glibc has `mallopt`.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
    return all([mallopt(parameter, value) for parameter, value in settings])
