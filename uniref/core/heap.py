"""How the C library keeps memory that was freed."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keep freed blocks for the next ones of their size, instead of giving large ones back to the system.

    A step on a CPU allocates the same hundreds of megabytes over and over; by default glibc returns each large block,
    and the system clears and maps it anew page by page. The process then holds its peak memory until it ends.

    Returns:
        Whether it took effect: glibc alone has the switch.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wishes = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
    return all([mallopt(parameter, value) for parameter, value in wishes])
