"""Weights by what people call them: a folder, a name of the catalogue, a repository of the hub, an address.

Nothing goes over the network unless `Access.download` says so, or an address was given, which asks for it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from uniref.core.addresses import is_address, parse_address, shown
from uniref.core.errors import CheckpointError, UsageError
from uniref.core.files import sha256
from uniref.core.progress import Progress, silent
from uniref.weights.bundled import checkpoint_folder, is_bundled
from uniref.weights.cache import converted, downloads, home, is_known, remember
from uniref.weights.catalog import CATALOG, Weights, similar
from uniref.weights.hosts import HubRepository, hub_repository, source_of

T = TypeVar("T")
_MOST_STATE = 8  # times its tensors that a file may have: AdamW's state is twice them


def terminal_progress(items: Iterable[T], description: str, total: int | None, unit: str = "") -> Generator[T]:
    """A `Progress` for Python: a bar on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True, file=sys.stderr)
    else:
        yield from items


@dataclass(frozen=True)
class Access:
    """What may be done to get weights, and where it is told."""

    download: bool = False
    """Fetch what is not here."""
    progress: Progress = silent
    tell: Callable[[str], None] = lambda _: None
    """Takes a line for people."""
    quiet: bool = False
    """Show no bars of other libraries either."""
    how: str = "add --download"
    """How to ask for a download, for messages."""
    hub: bool = False
    """Take `owner/name` for a wish to fetch it from the hub, unless there is a folder `owner` here."""


def find_checkpoint(name: str | Path, access: Access | None = None) -> Path:
    """The checkpoint folder that `--checkpoint` names.

    Args:
        name: In this order: a bundled checkpoint (`small`), a path that exists, a name of the catalogue (fetched and
            converted once, into the cache), a repository of the hub (`owner/name`, `owner/name@revision`, or its page's
            address).
        access: What may be done; None: nothing is fetched.

    Returns:
        The folder; a path that does not exist is given back as it is.

    Raises:
        UsageError: It is known, but not here, and nothing may be fetched; or it is no trained model.
        CheckpointError: It could not be fetched or converted, or a name is misspelt.
    """
    access = access or Access()
    text = str(name)
    if is_bundled(text) or Path(text).exists():
        return checkpoint_folder(name)
    if (entry := CATALOG.get(text)) is not None:
        return _converted(entry, access)
    if (repository := hub_repository(text)) is not None:
        from uniref.weights import hub

        # the address of a page asks for it; two words with a slash may as well be a folder that is not there
        download = access.download or is_address(text) or (access.hub and not Path(text.partition("/")[0]).exists())
        try:
            return hub.checkpoint(repository, download, access.quiet)
        except CheckpointError:
            if download:
                raise
            raise CheckpointError(_neither(text, repository, access)) from None
    if is_address(text):
        raise UsageError(f"{shown(text)}: is an address; convert it first: uniref convert ADDRESS FOLDER")
    if "/" not in text and (near := similar(text)):
        raise CheckpointError(
            f"{text}: no such checkpoint; did you mean {near}? 'uniref convert --list' shows all names"
        )
    return Path(name)


def find_source(text: str, access: Access) -> Path:
    """The file or folder that `uniref convert` reads: a path, a name of the catalogue, an address, or a repository.

    Raises:
        UsageError: It is known, but not here, and nothing may be fetched.
        CheckpointError: It could not be fetched.
        UniRefError: An address is none, or the file could not be fetched.
    """
    if Path(text).exists():
        return Path(text)
    if (entry := CATALOG.get(text)) is not None:
        return fetch(entry, access)
    if (repository := hub_repository(text)) is not None:
        from uniref.weights import hub

        try:
            return hub.model_folder(repository, access.download or is_address(text), access.quiet)
        except CheckpointError:
            if access.download or is_address(text):
                raise
            raise CheckpointError(_neither(text, repository, access)) from None
    if is_address(text):
        return _fetch_address(text, access)
    if "/" not in text and (near := similar(text)):
        raise CheckpointError(f"{text}: no such file; did you mean {near}? 'uniref convert --list' shows all names")
    return Path(text)


def here(entry: Weights) -> Path | None:
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
    if was_fetched(target) and (entry.sha256 or is_known(entry.name)):
        return target
    if not target.exists() and not access.download:
        raise UsageError(_ask(entry, access))
    # fetch it; with a published checksum that is all
    source = source_of(entry.address)
    if not target.exists():
        access.tell(f"{entry.name}: {entry.describe()}")
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
            if line := remember(entry.name, digest):
                access.tell(line)
    except CheckpointError as problem:
        if not discard(target):  # a person's own stays
            raise
        raise CheckpointError(f"{problem}. The fetched file was deleted") from None
    return target


def _ask(entry: Weights, access: Access) -> str:
    folder = f"weights/{entry.name}" if entry.kind != "model" else f"checkpoints/{entry.name}"
    return (
        f"{entry.name}: is not here yet. {entry.describe()}. To fetch it {access.how}, or run: "
        f"uniref convert {entry.name} {folder} --download"
    )


def _neither(text: str, repository: HubRepository, access: Access) -> str:
    return (
        f"{text}: no such checkpoint here, nor in the Hugging Face hub's cache; make one with 'uniref convert', or "
        f"{access.how} to fetch the hub's {repository}"
    )


def _check_readable(file: Path) -> None:
    """Whether a file holds weights at all. Raises CheckpointError."""
    from uniref.weights.safe_load import read_weights

    read_weights(file)


def _text_files() -> list[str]:
    from uniref.weights.hub import THEIRS

    return [name for name in THEIRS if not name.endswith(".bin")]


def _fetch_text(entry: Weights, access: Access) -> Path:
    from uniref.weights import hub

    repository = hub_repository(entry.address)
    assert repository is not None
    if (folder := here(entry)) is not None:
        return folder
    if not access.download:
        raise UsageError(_ask(entry, access))
    access.tell(f"{entry.name}: {entry.describe()}")
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
    if not entry.sha256 and (line := remember(entry.name, digest)):
        access.tell(line)
    return folder


def _converted(entry: Weights, access: Access) -> Path:
    """The checkpoint folder of an entry in the cache, made where it is not there yet."""
    folder = converted(entry.name)
    if folder.is_dir():
        return folder
    if entry.kind != "model":
        raise UsageError(
            f"{entry.name}: is no trained model ({entry.title}); training starts from it: "
            f"uniref convert {entry.name} weights/{entry.name} --download"
        )
    file = fetch(entry, access)
    from filelock import FileLock

    from uniref.weights.convert import convert

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{entry.name}.lock")):  # several processes may start with the same name
        if not folder.is_dir():
            access.tell(f"{entry.name}: converting it once, to {folder}")
            convert(file, folder)
    return folder


def _fetch_address(text: str, access: Access) -> Path:
    """The file at any address, each in a place of its own."""
    from uniref.data.fetch.download import discard, download

    source = source_of(text)
    address = parse_address(source.address)
    place = hashlib.sha256(address.request.encode()).hexdigest()[:16]
    target = home() / "downloads" / "addresses" / place / source.file
    if target.exists():
        access.tell(f"{address}: was fetched before; to fetch it anew, delete {target}")
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
