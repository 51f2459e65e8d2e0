"""The Hugging Face hub, through its own client, which handles cache, offline mode, tokens and resuming."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uniref.core.addresses import plain
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.core.files import first_line
from uniref.core.json_files import read_json
from uniref.weights.hosts import HubRepository

OURS = ("config.json", "model.safetensors", "adapter.safetensors", "tokenizer.json")
"""Files of a checkpoint folder of this package."""
THEIRS = ("config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "vocab.txt")
"""Files of a model folder of the Hugging Face libraries."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def snapshot(repository: HubRepository, files: Sequence[str], download: bool, quiet: bool = False) -> Path:
    """A folder with files of a repository, in the hub's own cache.

    Args:
        repository: Which.
        files: Names of files to get, as far as they exist.
        download: Ask the hub; otherwise only the cache is read, without network.
        quiet: Show no progress bar.

    Raises:
        CheckpointError: It is not in the cache; there is no such repository or revision; its terms are not accepted;
            the hub cannot be reached, or HF_HUB_OFFLINE forbids it; the message says which.
        UniRefError: The disk is full.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(repository, download):
        return Path(
            snapshot_download(
                repository.name,
                revision=repository.revision,
                allow_patterns=list(files),
                local_files_only=not download,
                tqdm_class=_bars(quiet),
                endpoint=os.environ.get("HF_ENDPOINT"),
                library_name="uniref",
            )
        )


def checkpoint(repository: HubRepository, download: bool, quiet: bool = False) -> Path:
    """A checkpoint folder of this package from the hub.

    Its small `config.json` is fetched first, to check the kind before fetching gigabytes.

    Raises:
        CheckpointError: As `snapshot`, or the repository holds no checkpoint of this package.
        UniRefError: The disk is full.
    """
    if download:
        first = snapshot(repository, OURS[:1], True, quiet=True)
        if _kind(first) != "uniref":
            raise CheckpointError(
                f"{repository}: holds no checkpoint of uniref on the hub (its config.json does not say so); "
                f"see whether 'uniref convert {repository} FOLDER --download' knows its kind"
            )
    return snapshot(repository, OURS, download, quiet)


def model_folder(repository: HubRepository, download: bool, quiet: bool = False) -> Path:
    """A folder from the hub that `uniref convert` can read: a checkpoint of this package, or a transformers model.

    Raises:
        CheckpointError: As `snapshot`.
        UniRefError: The disk is full.
    """
    if not download:
        return snapshot(repository, OURS, False)
    kind = _kind(snapshot(repository, OURS[:1], True, quiet=True))
    folder = snapshot(repository, OURS if kind == "uniref" else _without_pickle(THEIRS), True, quiet)
    if kind != "uniref" and not (folder / "model.safetensors").is_file():
        return snapshot(repository, THEIRS, True, quiet)  # an old repository has its weights only as a pickle
    return folder


def push(folder: Path, repository: str, card: str, private: bool = False) -> str:
    """Put a checkpoint folder onto the hub, with a model card.

    Args:
        folder: Checkpoint folder of this package.
        repository: `owner/name`; made where it is not there yet.
        card: Content of `README.md`; an existing one that a person wrote is kept.
        private: Make a new repository private.

    Returns:
        The address of the repository's page.

    Raises:
        UsageError: The name is not valid.
        CheckpointError: Refused (no token, no right), or the hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    from uniref.weights.model_card import MARK

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="uniref")
    target = HubRepository(repository, None)
    with _hub_errors(target, True, "log in with 'hf auth login' (or set HF_TOKEN)"):
        page = api.create_repo(repository, private=private, exist_ok=True)
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(folder / name))
            for name in OURS
            if (folder / name).is_file()
        ]
        if not api.file_exists(repository, "README.md") or MARK in _text(api, repository):
            operations.append(CommitOperationAdd(path_in_repo="README.md", path_or_fileobj=card.encode("utf-8")))
        api.create_commit(repository, operations, commit_message="Upload a checkpoint of uniref")
    return str(page)


def _text(api: Any, repository: str) -> str:
    path = api.hf_hub_download(repository, "README.md")
    return Path(path).read_text("utf-8", errors="replace")


def check_name(repository: str) -> str:
    """Check the name of a repository to push to. Raises UsageError."""
    from uniref.weights.hosts import hub_repository

    parsed = hub_repository(repository)
    if parsed is None or parsed.revision is not None or parsed.name != repository:
        raise UsageError(f"--push {plain(repository)}: name a repository of the hub as owner/name")
    return repository


def _kind(folder: Path) -> str:
    """`model_type` of a folder's config.json; empty without one."""
    try:
        content = read_json(folder / "config.json")
    except UniRefError:
        return ""
    return str(content.get("model_type", "")) if isinstance(content, dict) else ""


def _without_pickle(files: Sequence[str]) -> list[str]:
    return [name for name in files if not name.endswith(".bin")]


def _bars(quiet: bool) -> Any:
    """Class of the hub's progress bars: shown on a terminal only."""
    from huggingface_hub.utils.tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()

    class HubBar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **(options | {"disable": True} if hidden else options))

    return HubBar


@contextlib.contextmanager
def _hub_errors(repository: HubRepository, download: bool, login: str = "") -> Iterator[None]:
    """Turn exceptions of the hub's client into one-line errors.

    Args:
        repository: The requested one.
        download: The network may be used.
        login: Advice for a refusal; empty: accept the terms on the repository's page.
    """
    import huggingface_hub.errors as hub
    from huggingface_hub.utils import logging

    # advice for each kind of refusal
    if not os.environ.get("UNIREF_DEBUG"):
        logging.set_verbosity_error()  # hides its advice about accounts and faster transfers
    page = f"https://huggingface.co/{repository.name}"
    terms = login or f"open {page}, accept its terms, and log in with 'hf auth login' (or set HF_TOKEN)"
    try:
        yield
    except UniRefError:
        raise
    # access
    except hub.GatedRepoError:
        raise CheckpointError(f"{repository}: the hub asks that its terms are accepted: {terms}") from None
    except hub.RepositoryNotFoundError:
        raise CheckpointError(
            f"{repository}: the hub has no such repository, or it is private: check the name, or log in with "
            "'hf auth login' (or set HF_TOKEN)"
        ) from None
    except hub.RevisionNotFoundError:
        raise CheckpointError(f"{repository}: the hub's repository has no such revision") from None
    except hub.HFValidationError as error:
        raise UsageError(
            f"{repository}: is not a valid name of a repository ({plain(first_line(error), 200)})"
        ) from None
    # cache and network
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled):
        if not download:
            raise CheckpointError(f"{repository}: is not in the hub's cache here; add --download to fetch it") from None
        if _offline():
            raise CheckpointError(f"{repository}: is not in the hub's cache, and HF_HUB_OFFLINE forbids it") from None
        raise CheckpointError(f"{repository}: the hub cannot be reached; check the network") from None
    # anything else
    except Exception as error:  # noqa: BLE001 - the client raises many types, and those of its HTTP library
        if isinstance(error, OSError) and error.errno in _FULL:
            raise UniRefError(f"{repository}: the disk is full; make room and run the command again") from None
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise CheckpointError(f"{repository}: the hub refuses (HTTP {status}): {login or terms}") from None
        reason = plain(first_line(error), 200)
        raise CheckpointError(f"{repository}: the exchange with the hub failed ({reason})") from None


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
