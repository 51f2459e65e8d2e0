"""The wrapper around writers of other libraries, whose errors on a full disk are of any type and name no file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.reading import first_line


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Wrap the writing of one file or folder.

    Args:
        path: What is written, for the message.

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
        raise UniRefError(f"{path}: cannot be written ({first_line(problem)})") from problem
