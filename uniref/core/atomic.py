"""Files and folders that are either complete under their final name or not there at all, and locks on folders."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path

from filelock import FileLock, Timeout

from uniref.core.errors import UniRefError, UsageError

_REPLACED = ".replaced"
"""Suffix of an old folder while the new one is renamed to its name."""


@contextlib.contextmanager
def atomic_file(final: Path) -> Iterator[Path]:
    """A hidden path beside `final`; the file written there takes that name when the block ends without an error.

    Args:
        final: The file to make or replace; its folder is made where it is missing. Several processes may write the
            same file: each has a hidden one of its own, and the last to end counts.

    Raises:
        UniRefError: The file system refuses (read-only, full); nothing is left behind.
    """
    work = final.with_name(f".{final.stem}.partial-{os.getpid()}{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield work
        work.replace(final)
    except OSError as error:
        raise UniRefError(f"{final}: cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):  # a folder that cannot be written
            work.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str, errors: str = "strict") -> None:
    """Write a text file in UTF-8 that is complete under its name or not there. Raises UniRefError as `atomic_file`."""
    with atomic_file(path) as work:
        work.write_text(text, "utf-8", errors=errors)


@contextlib.contextmanager
def atomic_folder(
    final: Path, overwrite: bool = False, written: Callable[[Path], Set[str]] | None = None
) -> Iterator[Path]:
    """A hidden folder beside `final` that takes its name when the block ends without an error.

    Args:
        final: The folder to make. An empty one may exist.
        overwrite: Replace an existing folder; it stays in place until the new one is complete.
        written: Called with the existing folder, gives the files in it (relative, with `/`) that may be replaced; any
            other file in it belongs to the user and stays. None: there are no other files.

    Raises:
        UsageError: `final` exists and `overwrite` is off, or it is a file; or a user's file has the name of a new one.
        UniRefError: The file system refuses (read-only, full).
    """
    final = Path(final)
    if final.is_symlink():  # the folder that it leads to, perhaps on another disk, is the one to replace
        final = final.resolve()
    # clean up, and refuse targets that may not be replaced
    stem = f".{final.name}.partial-{platform.node()}-"
    with contextlib.suppress(OSError):  # a folder that cannot be written is reported below
        _clear_leftovers(final.parent, stem)
    if final.exists() and not final.is_dir():
        raise UsageError(f"{final}: is a file; name a folder that does not exist yet")
    if final.is_dir() and any(final.iterdir()) and not overwrite:
        raise UsageError(f"{final}: already exists and is not empty; choose another folder or pass --overwrite")
    # write into a hidden folder, then rename it
    work = final.parent / f"{stem}{os.getpid()}"
    try:
        work.mkdir(parents=True)
    except OSError as error:
        raise UniRefError(f"{final}: cannot be written ({error.strerror})") from None
    try:
        yield work
        replace_folder(work, final, foreign_files(final, written(final)) if written and final.is_dir() else ())
    except OSError as error:
        raise UniRefError(f"{final}: cannot be written ({error.strerror or error})") from error
    except UniRefError as error:
        use_final_name(error, work, final)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def use_final_name(error: UniRefError, work: Path, final: Path) -> None:
    """Replace the hidden folder's name in an error message by the name that the user knows."""
    error.args = tuple(each.replace(str(work), str(final)) if isinstance(each, str) else each for each in error.args)


def _clear_leftovers(folder: Path, stem: str) -> None:
    """Remove hidden folders that killed processes of this machine left behind."""
    final = folder / stem.removeprefix(".").rpartition(f".partial-{platform.node()}-")[0]
    for leftover in sorted(folder.glob(f"{glob.escape(stem)}*")):
        number = leftover.name.removeprefix(stem).removesuffix(_REPLACED)
        if not number.isdecimal() or _alive(int(number)):
            continue
        if leftover.name.endswith(_REPLACED) and not final.exists():
            leftover.rename(final)  # it was killed between two renamings
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove hidden folders that killed processes of any machine left below `folder`; nobody may be writing there."""
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


def replace_folder(work: Path, final: Path, keep: Sequence[str] = ()) -> None:
    """Rename folder `work` to `final` beside it; an existing `final` is moved aside first and deleted last.

    Args:
        work: The new folder.
        final: Its name.
        keep: Files and empty folders of the old one (relative, with `/`) that the new one gets too.

    Raises:
        UsageError: The new folder has a file of its own under such a name; nothing is replaced.
    """
    for name in keep:
        if os.path.lexists(work / name):
            raise UsageError(f"{final / name}: would be replaced, but uniref did not write it; move it elsewhere")
    for name in keep:
        _link(final / name, work / name)
    old = work.with_name(f"{work.name}{_REPLACED}")
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


def _link(source: Path, target: Path) -> None:
    """Hard link to a file, or a copy where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def foreign_files(folder: Path, written: Set[str]) -> list[str]:
    """Files below a folder that are not among `written`, relative, with `/`, sorted; empty folders end with `/`."""
    names = []
    for current, folders, files in os.walk(folder):
        here = Path(current).relative_to(folder)
        links = [name for name in folders if (Path(current) / name).is_symlink()]
        names += [(here / name).as_posix() for name in (*files, *links)]
        if not files and not folders and here.parts:
            names.append(f"{here.as_posix()}/")
    return sorted(set(names) - written)


def remove_written(folder: Path, written: Set[str]) -> list[str]:
    """Delete files that this package wrote, and the folder if nothing else is in it; of a symbolic link, only the link.

    Args:
        folder: It need not exist.
        written: Their names, relative, with `/`.

    Returns:
        The files that stay, as `foreign_files` lists them.
    """
    if folder.is_symlink():  # its target is not ours
        folder.unlink()
        return []
    if not folder.is_dir():
        return []
    left = foreign_files(folder, written)
    if not left:
        shutil.rmtree(folder, ignore_errors=True)
        return []
    for name in (
        set(foreign_files(folder, set())) & written
    ):  # never files outside of the folder, whatever the list says
        path = folder / name
        with contextlib.suppress(OSError):
            path.rmdir() if name.endswith("/") else path.unlink()
            for parent in path.relative_to(folder).parents:  # those that are empty now
                (folder / parent).rmdir()
    return left


@contextlib.contextmanager
def exclusive(folder: Path, doing: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock `<folder>.lock` for a block; it is removed afterwards, and released if the process dies.

    Args:
        folder: The folder that is worked on; it need not exist.
        doing: Participle for the message: "prepared", "trained".
        wait: Seconds to wait for another process that holds it.

    Raises:
        UniRefError: Another process holds it, or the lock cannot be written.
    """
    path = folder.with_name(f"{folder.name}.lock")
    holder = folder.with_name(f"{folder.name}.lock.holder")
    # take the lock
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=wait)
        while not _is_current(lock, path):  # its last holder removed the file while this process opened it
            lock.release()
            lock.acquire(timeout=wait)
    except Timeout:
        raise UniRefError(f"{folder.name}: is being {doing} by {_who(holder)}; wait until it is done") from None
    except OSError as error:
        raise UniRefError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        # say who holds it
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
