"""How much memory this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_UNKNOWN = 1 << 34  # where the system does not tell


def total_memory() -> int:
    """Bytes of main memory, of the machine or of the container that this runs in."""
    total = _UNKNOWN
    with contextlib.suppress(ValueError, OSError, AttributeError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(name).read_text("ascii")))
    return total
