"""Finding weights by folder, name of the catalogue, repository of the hub, or address.

The network is used only if `Access.download` is set, or for an address, which asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from uniref.core.addresses import is_address, shown
from uniref.core.errors import CheckpointError, UsageError
from uniref.weights.catalog import CATALOG, SMALL, Kind, Weights, checkpoint_folder, closest_name, is_bundled
from uniref.weights.fetch import Access, converted, fetch, fetch_address, local_path
from uniref.weights.hosts import HubRepository, hub_repository


def find_checkpoint(name: str | Path, access: Access | None = None) -> Path:
    """The checkpoint folder that `--checkpoint` names.

    Args:
        name: In this order: a bundled checkpoint (`small`), a path that exists, a name of the catalogue (fetched and
            converted once, into the cache), a repository of the hub (`owner/name`, `owner/name@revision`, or its page's
            address).
        access: What may be done to get it; None: nothing is fetched.

    Returns:
        The folder; a path that does not exist is returned as it is.

    Raises:
        UsageError: It is in the catalogue, but not on this machine, and downloads are not allowed; or it is not a
            trained model.
        CheckpointError: It could not be fetched or converted, or a name is misspelt.
    """
    access = access or Access()
    text = str(name)
    # bundled, or a path
    if is_bundled(text) or Path(text).exists():
        return checkpoint_folder(name)
    # a name of the catalogue
    if (entry := CATALOG.get(text)) is not None:
        return _converted(entry, access)
    # a repository of the hub
    if (repository := hub_repository(text)) is not None:
        from uniref.weights import hub

        # an address asks for a download; `owner/name` may also be a folder that does not exist
        download = access.download or is_address(text) or (access.hub and not Path(text.partition("/")[0]).exists())
        try:
            return hub.checkpoint(repository, download, access.quiet)
        except CheckpointError:
            if download:
                raise
            raise CheckpointError(_neither(text, repository, access)) from None
    # not a checkpoint: say why
    if is_address(text):
        raise UsageError(f"{shown(text)}: is an address; convert it first: uniref convert ADDRESS FOLDER")
    if "/" not in text and (near := closest_name(text)):
        raise CheckpointError(
            f"{text}: no such checkpoint; did you mean {near}? 'uniref convert --list' shows all names"
        )
    return Path(name)


def find_source(text: str, access: Access) -> Path:
    """The file or folder that `uniref convert` reads: a path, a name of the catalogue, an address, or a repository.

    Raises:
        UsageError: It is in the catalogue, but not on this machine, and downloads are not allowed.
        CheckpointError: It could not be fetched.
        UniRefError: An address is not valid, or the file could not be fetched.
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
        return fetch_address(text, access)
    if "/" not in text and (near := closest_name(text)):
        raise CheckpointError(f"{text}: no such file; did you mean {near}? 'uniref convert --list' shows all names")
    return Path(text)


def _converted(entry: Weights, access: Access) -> Path:
    """The checkpoint folder of an entry in the cache, made if it is not there yet."""
    folder = converted(entry.name)
    if folder.is_dir():
        return folder
    # fetch
    if entry.kind != "model":
        raise UsageError(
            f"{entry.name}: is not a trained model ({entry.title}); training starts from it: "
            f"uniref convert {entry.name} weights/{entry.name} --download"
        )
    file = fetch(entry, access)
    # convert
    from filelock import FileLock

    from uniref.weights.convert import convert

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{entry.name}.lock")):  # several processes may start at once
        if not folder.is_dir():
            access.report(f"{entry.name}: converting it once, to {folder}")
            convert(file, folder)
    return folder


def _neither(text: str, repository: HubRepository, access: Access) -> str:
    return (
        f"{text}: no such checkpoint here, nor in the Hugging Face hub's cache; make one with 'uniref convert', or "
        f"{access.how_to_download} to fetch the hub's {repository}"
    )


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint that has a name."""

    name: str
    """Argument of `Predictor.from_pretrained` and `--checkpoint`."""
    title: str
    kind: Kind
    """"model": predicts; the others are initial weights for training."""
    tasks: tuple[str, ...]
    """Any of "text", "mask", "support" and "detection"."""
    size: int
    """Bytes to fetch."""
    exact: bool
    """Whether `size` is published; otherwise it is that of the tensors, and a file with training state is larger."""
    licence: str
    terms: str
    """Terms of the training data."""
    page: str
    """Web page or document about it."""
    scores: Mapping[str, tuple[str, float]]
    """Published scores: data set -> (metric, percent)."""
    path: Path | None
    """Its path on this machine; None if it has to be fetched."""


def available_checkpoints(kind: Kind | None = "model") -> list[CheckpointInfo]:
    """All named checkpoints, the bundled one first; nothing is fetched.

    Args:
        kind: "model" for those that predict; "backbone", "sam", "text" and "file" for initial weights of trainings;
            None for all.
    """
    # the bundled checkpoint
    small = checkpoint_folder(SMALL)
    size = sum(file.stat().st_size for file in small.iterdir())
    infos = [
        CheckpointInfo(
            name=SMALL,
            title="the bundled model, trained on synthetic scenes alone",
            kind="model",
            tasks=("text", "mask", "support"),
            size=size,
            exact=True,
            licence="Apache-2.0",
            terms="trained on drawn scenes; not for real images",
            page="docs/small-model.md",
            scores={},
            path=small,
        )
    ]
    # the catalogue
    for entry in CATALOG.values():
        infos.append(
            CheckpointInfo(
                name=entry.name,
                title=entry.title,
                kind=entry.kind,
                tasks=entry.tasks,
                size=entry.size or entry.about,
                exact=entry.size is not None,
                licence=entry.licence,
                terms=entry.terms,
                page=entry.page,
                scores=entry.scores,
                path=local_path(entry),
            )
        )
    return [info for info in infos if kind is None or info.kind == kind]
