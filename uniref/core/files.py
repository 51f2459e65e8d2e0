"""What is asked of files of any kind."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from uniref.core.errors import UniRefError


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
    """Whether there is a file or folder; False also where none can be called so (too long a name, a NUL)."""
    return os.path.exists(path)


def is_file(path: Path) -> bool:
    """Whether there is a file; False also where none can be called so."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False also where none can be called so."""
    return os.path.isdir(path)
