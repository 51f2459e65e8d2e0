"""One process at a time works on a folder."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from uniref.core.errors import UniRefError


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Hold `<folder>.lock` for a block; it is removed afterwards, and free as soon as its process dies.

    Args:
        folder: What is worked on; it need not exist.
        doing: What is done to it, for the message: "prepared", "trained".

    Raises:
        UniRefError: Another process holds it, or the lock cannot be written.
    """
    path = folder.with_name(f"{folder.name}.lock")
    holder = folder.with_name(f"{folder.name}.lock.holder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=0)
        while not _is_current(lock, path):  # its last holder removed the file while this process opened it
            lock.release()
            lock.acquire(timeout=0)
    except Timeout:
        raise UniRefError(f"{folder.name}: is being {doing} by {_who(holder)}; wait until it is done") from None
    except OSError as error:
        raise UniRefError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with contextlib.suppress(OSError):
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        for file in (holder, path):
            with contextlib.suppress(OSError):  # Windows removes no open file
                file.unlink(missing_ok=True)
        lock.release()


def _is_current(lock: FileLock, path: Path) -> bool:
    """Whether the file that is locked is the one that others would lock now."""
    handle = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
    if not isinstance(handle, int):
        return True
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _who(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return "another process"
