"""Fetching published weights into the user's cache folder: once each, checked, and remembered by their digest."""

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
    """What may be done to get weights, and where it is told."""

    download: bool = False
    """Fetch what is not here."""
    progress: Progress = silent
    report: Callable[[str], None] = lambda _: None
    """Takes a line for people."""
    quiet: bool = False
    """Show no bars of other libraries either."""
    how_to_download: str = "add --download"
    """How to ask for a download, for messages."""
    hub: bool = False
    """Take `owner/name` for a wish to fetch it from the hub, unless there is a folder `owner` here."""


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


def has_recorded_digest(name: str) -> bool:
    """Whether the digest of an entry's file was written down before."""
    return name in _read(home() / _SEEN)


def check_recorded_digest(name: str, digest: str) -> str:
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


def local_path(entry: Weights) -> Path | None:
    """Where an entry of the catalogue lies on this machine: converted, else as fetched; None where it does not."""
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
        UsageError: It is not here, and nothing may be fetched; the line says what it is and how to get it.
        CheckpointError: It is another file than before, or no checkpoint.
        UniRefError: It could not be fetched.
    """
    if entry.kind == "text":
        return _fetch_text(entry, access)
    from uniref.data.fetch.download import Policy, discard, download, was_fetched

    target = downloads(entry.name) / entry.file
    if was_fetched(target) and (entry.sha256 or has_recorded_digest(entry.name)):
        return target
    if not target.exists() and not access.download:
        raise UsageError(_ask(entry, access))
    # fetch it; with a published checksum that is all
    source = download_source(entry.address)
    if not target.exists():
        access.report(f"{entry.name}: {entry.describe()}")
        download(
            source.address,
            target,
            size=entry.size,
            sha256=(entry.sha256,) if entry.sha256 else (),
            progress=access.progress,
            policy=Policy(limit=_MOST_STATE * (entry.size or entry.about)),
            by_hand=f"download it from {entry.page} with a browser and hand it over: uniref convert FILE FOLDER",
            page=source.page,
        )
        if entry.sha256:
            return target
    # check what nobody published a checksum of, or what a person put there
    digest = sha256(target)
    try:
        if entry.sha256 and digest != entry.sha256:
            raise CheckpointError(
                f"{target}: is not {entry.name} (its SHA-256 is {digest}, published is {entry.sha256}); move it away, "
                "and run the command again to fetch it"
            )
        if not entry.sha256:
            _check_readable(target)
            if line := check_recorded_digest(entry.name, digest):
                access.report(line)
    except CheckpointError as problem:
        if not discard(target):  # a person's own stays
            raise
        raise CheckpointError(f"{problem}. The fetched file was deleted") from None
    return target


def _fetch_text(entry: Weights, access: Access) -> Path:
    from uniref.weights import hub

    repository = hub_repository(entry.address)
    assert repository is not None
    if (folder := local_path(entry)) is not None:
        return folder
    if not access.download:
        raise UsageError(_ask(entry, access))
    access.report(f"{entry.name}: {entry.describe()}")
    folder = hub.snapshot(repository, _text_files(), True, access.quiet)
    weights = folder / "model.safetensors"
    digest = sha256(weights)
    if entry.sha256 and digest != entry.sha256:
        real = weights.resolve()
        weights.unlink(missing_ok=True)
        real.unlink(missing_ok=True)
        raise CheckpointError(
            f"{entry.name}: the hub gave another file (its SHA-256 is {digest}, published is {entry.sha256}); it was "
            "deleted, run the command again"
        )
    if not entry.sha256 and (line := check_recorded_digest(entry.name, digest)):
        access.report(line)
    return folder


def fetch_address(text: str, access: Access) -> Path:
    """The file at any address, each in a place of its own."""
    from uniref.data.fetch.download import discard, download

    source = download_source(text)
    address = parse_address(source.address)
    place = hashlib.sha256(address.request.encode()).hexdigest()[:16]
    target = home() / "downloads" / "addresses" / place / source.file
    if target.exists():
        access.report(f"{address}: was fetched before; to fetch it anew, delete {target}")
        return target
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
        f"{entry.name}: is not here yet. {entry.describe()}. To fetch it {access.how_to_download}, or run: "
        f"uniref convert {entry.name} {folder} --download"
    )


def _check_readable(file: Path) -> None:
    """Whether a file holds weights at all. Raises CheckpointError."""
    from uniref.weights.safe_load import read_weights

    read_weights(file)


def _text_files() -> list[str]:
    from uniref.weights.hub import THEIRS

    return [name for name in THEIRS if not name.endswith(".bin")]
