"""Fetching published weights into the user's cache folder, once each, with checks of their digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock

from uniref.core.addresses import parse_address
from uniref.core.atomic import write_text_atomic
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.core.files import sha256
from uniref.core.json_files import read_json
from uniref.core.progress import Progress, silent
from uniref.weights.catalog import Weights
from uniref.weights.hosts import download_source, hub_repository

_SEEN = "seen.json"
_MOST_STATE = 8  # times its tensors that a file may have: AdamW's state is twice them


@dataclass(frozen=True)
class Access:
    """What may be done to get weights, and where progress and messages go."""

    download: bool = False
    """Fetch weights that are not on this machine."""
    progress: Progress = silent
    report: Callable[[str], None] = lambda _: None
    """Takes a message for the user."""
    quiet: bool = False
    """Show no bars of other libraries either."""
    how_to_download: str = "add --download"
    """How the user allows downloads, for messages."""
    hub: bool = False
    """Fetch `owner/name` from the hub also without `download`, unless a folder `owner` exists."""


def home() -> Path:
    """The folder of everything that is fetched by name: `UNIREF_HOME`, else `uniref` in the user's cache folder."""
    if own := os.environ.get("UNIREF_HOME"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG standard says to ignore relative paths
    base = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    return base / "uniref"


def downloads(name: str) -> Path:
    """The folder of the file that was fetched for an entry of the catalogue."""
    return home() / "downloads" / name


def converted(name: str) -> Path:
    """The checkpoint folder of an entry of the catalogue."""
    return home() / "checkpoints" / name


def has_recorded_digest(name: str) -> bool:
    """Whether the digest of an entry's file was recorded before."""
    return name in _read(home() / _SEEN)


def check_recorded_digest(name: str, digest: str) -> str:
    """Compare the digest of a file with the one recorded when its name was first fetched, or record it.

    Args:
        name: Name of the entry.
        digest: SHA-256 of the file.

    Returns:
        A message when the digest is recorded; empty when it was recorded before.

    Raises:
        CheckpointError: The recorded digest is another one.
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
    return f"{name}: no checksum is published; its SHA-256 {digest} is recorded in {path} for the next time"


def _read(path: Path) -> dict[str, dict[str, str]]:
    with contextlib.suppress(UniRefError):
        content = read_json(path)
        if isinstance(content, dict):
            return {key: value for key, value in content.items() if isinstance(value, dict)}
    return {}


def local_path(entry: Weights) -> Path | None:
    """Path of an entry of the catalogue on this machine, converted or else as fetched; None if it is not here."""
    if (folder := converted(entry.name)).is_dir():
        return folder
    if entry.kind != "text":
        file = downloads(entry.name) / entry.file
        return file if file.exists() else None
    from uniref.weights import hub

    repository = hub_repository(entry.address)
    assert repository is not None
    try:
        return hub.snapshot(repository, _text_files(), download=False)
    except CheckpointError:
        return None


def fetch(entry: Weights, access: Access) -> Path:
    """The file of an entry of the catalogue (of a text encoder: its folder), fetched and checked once.

    Raises:
        UsageError: It is not on this machine, and downloads are not allowed; the message says how to get it.
        CheckpointError: It is another file than before, or not a checkpoint.
        UniRefError: It could not be fetched.
    """
    if entry.kind == "text":
        return _fetch_text(entry, access)
    from uniref.data.fetch.download import RetryPolicy, discard, download, was_fetched

    target = downloads(entry.name) / entry.file
    if was_fetched(target) and (entry.sha256 or has_recorded_digest(entry.name)):
        return target
    if not target.exists() and not access.download:
        raise UsageError(_ask(entry, access))
    # fetch it; the download compares a published checksum, so nothing is left to check then
    source = download_source(entry.address)
    if not target.exists():
        access.report(f"{entry.name}: {entry.describe()}")
        download(
            source.address,
            target,
            size=entry.size,
            sha256=(entry.sha256,) if entry.sha256 else (),
            progress=access.progress,
            policy=RetryPolicy(limit=_MOST_STATE * (entry.size or entry.about)),
            by_hand=f"download it from {entry.page} with a browser and hand it over: uniref convert FILE FOLDER",
            page=source.page,
        )
        if entry.sha256:
            return target
    # check files without a published checksum, and files that the user put there
    digest = sha256(target)
    try:
        if entry.sha256 and digest != entry.sha256:
            raise CheckpointError(
                f"{target}: is not {entry.name} (its SHA-256 is {digest}, published is {entry.sha256}); move it away "
                "and run the command again to fetch it"
            )
        if not entry.sha256:
            _check_readable(target)
            if line := check_recorded_digest(entry.name, digest):
                access.report(line)
    except CheckpointError as problem:
        if not discard(target):  # it was put there by the user, so it stays
            raise
        raise CheckpointError(f"{problem}. The fetched file was deleted") from None
    return target


def _fetch_text(entry: Weights, access: Access) -> Path:
    from uniref.weights import hub

    # on this machine, or from the hub
    repository = hub_repository(entry.address)
    assert repository is not None
    if (folder := local_path(entry)) is not None:
        return folder
    if not access.download:
        raise UsageError(_ask(entry, access))
    access.report(f"{entry.name}: {entry.describe()}")
    folder = hub.snapshot(repository, _text_files(), True, access.quiet)
    # check its digest
    weights = folder / "model.safetensors"
    digest = sha256(weights)
    if entry.sha256 and digest != entry.sha256:
        real = weights.resolve()
        weights.unlink(missing_ok=True)
        real.unlink(missing_ok=True)
        raise CheckpointError(
            f"{entry.name}: the hub returned another file (its SHA-256 is {digest}, published is {entry.sha256}); it "
            "was deleted, run the command again"
        )
    if not entry.sha256 and (line := check_recorded_digest(entry.name, digest)):
        access.report(line)
    return folder


def fetch_address(text: str, access: Access) -> Path:
    """The file at any address; each address has a folder of its own in the cache.

    Raises:
        CheckpointError: It holds no weights; it was deleted.
        UniRefError: It could not be fetched.
    """
    from uniref.data.fetch.download import discard, download

    # a folder of its own in the cache
    source = download_source(text)
    address = parse_address(source.address)
    key = hashlib.sha256(address.request.encode()).hexdigest()[:16]
    target = home() / "downloads" / "addresses" / key / source.file
    if target.exists():
        access.report(f"{address}: was fetched before; to fetch it again, delete {target}")
        return target
    # fetch and check
    download(
        source.address,
        target,
        progress=access.progress,
        by_hand="fetch it by hand and name the file",
        page=source.page,
    )
    try:
        _check_readable(target)
    except CheckpointError as problem:
        discard(target)
        raise CheckpointError(f"{address}: gives no weights ({problem}). The fetched file was deleted") from None
    return target


def _ask(entry: Weights, access: Access) -> str:
    folder = f"weights/{entry.name}" if entry.kind != "model" else f"checkpoints/{entry.name}"
    return (
        f"{entry.name}: is not on this machine yet. {entry.describe()}. To fetch it {access.how_to_download}, or run: "
        f"uniref convert {entry.name} {folder} --download"
    )


def _check_readable(file: Path) -> None:
    """Raise CheckpointError where a file holds no weights."""
    from uniref.weights.safe_load import read_weights

    read_weights(file)


def _text_files() -> list[str]:
    from uniref.weights.hub import THEIRS

    return [name for name in THEIRS if not name.endswith(".bin")]
