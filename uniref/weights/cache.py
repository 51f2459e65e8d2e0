"""Where fetched weights are kept, and what is remembered of them."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import date
from pathlib import Path

from filelock import FileLock

from uniref.core.atomic import write_text_atomic
from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.json_files import read_json

_SEEN = "seen.json"


def home() -> Path:
    """The folder of everything that is fetched by name: `UNIREF_HOME`, else `uniref` in the user's cache folder."""
    if own := os.environ.get("UNIREF_HOME"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # the standard has relative paths ignored
    base = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    return base / "uniref"


def downloads(name: str) -> Path:
    """The folder of the file that was fetched for an entry of the catalogue."""
    return home() / "downloads" / name


def converted(name: str) -> Path:
    """The checkpoint folder of an entry of the catalogue."""
    return home() / "checkpoints" / name


def is_known(name: str) -> bool:
    """Whether the digest of an entry's file was written down before."""
    return name in _read(home() / _SEEN)


def remember(name: str, digest: str) -> str:
    """Compare a file with what was fetched under its name before; the first one is written down.

    Args:
        name: Of the entry.
        digest: SHA-256 of the file.

    Returns:
        A line to tell the first time; nothing later.

    Raises:
        CheckpointError: It was another file before.
        UniRefError: The cache folder cannot be written.
    """
    path = home() / _SEEN
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{_SEEN}.lock")):
            seen = _read(path)
            before = seen.get(name)
            if before is not None and before.get("sha256") != digest:
                raise CheckpointError(
                    f"{name}: is another file than the one first fetched on {before.get('first')}: its SHA-256 is "
                    f"{digest}, was {before.get('sha256')}. If the publisher has changed it, delete the entry in {path}"
                )
            if before is not None:
                return ""
            seen[name] = {"sha256": digest, "first": date.today().isoformat()}
            write_text_atomic(path, json.dumps(seen, indent=2) + "\n")
    except OSError as error:
        raise UniRefError(f"{path}: cannot be written ({error.strerror or error})") from None
    return f"{name}: nobody published a checksum; its SHA-256 {digest} is written down in {path} for the next time"


def _read(path: Path) -> dict[str, dict[str, str]]:
    with contextlib.suppress(UniRefError):
        content = read_json(path)
        if isinstance(content, dict):
            return {key: value for key, value in content.items() if isinstance(value, dict)}
    return {}
