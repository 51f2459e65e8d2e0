"""glibc keeps freed memory: checked in a process of its own, because it cannot be undone."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes
from uniref.core.device import keep_freed_memory
import numpy as np

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]

count = ctypes.CDLL(None).mallinfo
count.restype = Counts

def mapped_for_a_large_block():
    before = count().hblks
    block = np.ones(8 << 20)
    return count().hblks - before

print(mapped_for_a_large_block(), keep_freed_memory(), mapped_for_a_large_block())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the switch is glibc's")
@pytest.mark.slow
def test_large_blocks_come_from_the_heap() -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo"):
        pytest.skip("this C library has no mallopt")
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    before, works, after = done.stdout.split()
    assert works == "True"
    assert (before, after) == ("1", "0")
