"""Reading and writing files: every failure becomes one line that names the file; also hashing and existence checks."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from uniref.core.errors import UniRefError

_LONGEST = 200  # characters of another library's message
_FULL = 1 << 16  # bytes that are free on a disk that is full


@contextlib.contextmanager
def reading(path: Path | str, error: type[UniRefError] = UniRefError, advice: str = "") -> Iterator[None]:
    """Wrap the reading of one file, so that any failure is reported as `FILE: reason`.

    Files come from anywhere, and every decoder fails in its own ways (an `IndexError` in a table of an image, an
    `OverflowError` in a header), so no list of exception types would be complete.

    Args:
        path: The file, for the message.
        error: What to raise.
        advice: What the user can do, added after a semicolon.

    Raises:
        UniRefError: As `error`, for any exception of the block that is not a `UniRefError` already.
    """
    after = f"; {advice}" if advice else ""
    try:
        yield
    except UniRefError:
        raise
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except MemoryError:
        raise error(f"{path}: needs more memory than this machine has") from None
    except RecursionError:
        raise error(f"{path}: is nested too deeply{after}") from None
    except UnicodeDecodeError:
        raise error(f"{path}: is not text in UTF-8{after}") from None
    except OSError as problem:
        reason = problem.strerror or first_line(problem)
        raise error(f"{path}: cannot be read ({reason}){after}") from None
    except Exception as problem:
        raise error(f"{path}: is damaged ({first_line(problem)}){after}") from problem


def first_line(problem: BaseException | str) -> str:
    """An exception or message on one line: its first line, or the type of an exception that has no message."""
    lines = [line.strip() for line in str(problem).strip().splitlines()]
    if not lines:
        return type(problem).__name__
    line = f"{type(problem).__name__}: {lines[0]}" if isinstance(problem, LookupError) else lines[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def read_text(
    path: Path, error: type[UniRefError] = UniRefError, largest: int = 64 << 20, encoding: str | None = None
) -> str:
    """A text file, by default as `decode_text` decodes it: UTF-8, or UTF-16 with a byte order mark.

    Args:
        path: The file.
        error: What to raise.
        largest: Bytes that it may have.
        encoding: Of its characters, where it is known.

    Raises:
        UniRefError: As `error`: missing, unreadable, too large, in another encoding, or with NUL bytes.
    """
    with reading(path, error):
        size = path.stat().st_size
        if size > largest:
            raise error(f"{path}: has {size:,} bytes; at most {largest:,} are read")
        with path.open("rb") as file:
            data = file.read(largest + 1)  # special files have no size
        if len(data) > largest:
            raise error(f"{path}: is longer than {largest:,} bytes, which is the most that is read")
        text = data.decode(encoding) if encoding else decode_text(data)
    if "\0" in text:
        raise error(f"{path}: holds NUL bytes; it is not a text file")
    return text


def decode_text(data: bytes) -> str:
    """The text of bytes in UTF-8, with or without a byte order mark, or in UTF-16 with one (as PowerShell writes it).

    Raises:
        UnicodeDecodeError: Neither.
    """
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf16 else "utf-8-sig")


def split_pair(pair: str, folder: Path = Path()) -> tuple[str, str] | None:
    """The two files of `FIRST=SECOND`, whose names may hold `=` themselves.

    Args:
        pair: As written.
        folder: What the names are relative to.

    Returns:
        The names, split where both files exist, else at the first `=`; None where one of them is empty.
    """
    splits = [(pair[:i], pair[i + 1 :]) for i, letter in enumerate(pair) if letter == "="]
    splits = [(first, second) for first, second in splits if first and second]
    existing = (names for names in splits if all(is_file(folder / name) for name in names))
    return next(existing, splits[0] if splits else None)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Wrap the writing of one file or folder by another library, whose errors may be of any type and name no file.

    Args:
        path: The file or folder, for the message.

    Raises:
        UniRefError: For any exception of the block that is not a `UniRefError` already.
    """
    try:
        yield
    except UniRefError:
        raise
    except OSError as problem:
        raise UniRefError(f"{path}: cannot be written ({problem.strerror or first_line(problem)})") from None
    except Exception as problem:
        reason = "no space left on device" if _is_full(path) else first_line(problem)
        raise UniRefError(f"{path}: cannot be written ({reason})") from problem


def _is_full(path: Path) -> bool:
    """Whether the disk of a file that is being written is full; PyTorch's error does not say so."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < _FULL
    return False


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content. Raises UniRefError where it cannot be read."""
    return file_digest(path, "sha256")


def file_digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest (`sha256`, `md5`) of a file's content. Raises UniRefError where it cannot be read."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    except OSError as problem:
        raise UniRefError(f"{path}: cannot be read ({problem.strerror})") from None
    return digest.hexdigest()


def exists(path: Path) -> bool:
    """Whether a file or folder exists; False also for impossible names (too long, with a NUL)."""
    return os.path.exists(path)


def is_file(path: Path) -> bool:
    """Whether a file exists; False also for impossible names."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether a folder exists; False also for impossible names."""
    return os.path.isdir(path)
