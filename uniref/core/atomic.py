"""Writing that is either complete under its final name or not there at all."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from uniref.core.errors import UniRefError, UsageError


@contextlib.contextmanager
def atomic_folder(final: Path, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder beside `final` that takes its name when the block ends without an error.

    Args:
        final: The folder to make. An empty one may exist.
        overwrite: Replace an existing folder; it stays in place until the new one is complete.

    Raises:
        UsageError: `final` exists and `overwrite` is off, or it is a file.
        UniRefError: The file system refuses (read-only, full).
    """
    final = Path(final)
    if final.exists() and not final.is_dir():
        raise UsageError(f"{final}: is a file; name a folder that does not exist yet")
    if final.is_dir() and any(final.iterdir()) and not overwrite:
        raise UsageError(f"{final}: already exists and is not empty; choose another folder or pass --overwrite")
    stem = f".{final.name}.partial-{platform.node()}-"
    work = final.parent / f"{stem}{os.getpid()}"
    try:
        _clear_leftovers(final.parent, stem)
        work.mkdir(parents=True)
    except OSError as error:
        raise UniRefError(f"{final}: cannot be written ({error.strerror})") from None
    try:
        yield work
        replace_folder(work, final)
    except OSError as error:
        raise UniRefError(f"{final}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _clear_leftovers(folder: Path, stem: str) -> None:
    """Remove what processes of this machine left behind that were killed outright."""
    for leftover in folder.glob(f"{glob.escape(stem)}*"):
        number = leftover.name.removeprefix(stem)
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(leftover, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers of any machine left anywhere below `folder`, which nobody writes to any more."""
    for leftover in [*folder.rglob(".*.partial-*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def replace_folder(work: Path, final: Path) -> None:
    """Give folder `work` the name `final` beside it; what was there moves aside first and is deleted last."""
    old = work.with_name(f"{work.name}.replaced")
    if final.is_dir():
        shutil.rmtree(old, ignore_errors=True)  # of a process that was killed just here
        final.rename(old)
    try:
        work.rename(final)
    except OSError:
        if old.is_dir():
            old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)
