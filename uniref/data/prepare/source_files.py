"""Finds the published files of a data set: folders, archives and addresses that the user names, and downloads."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from uniref.core.addresses import is_address, parse_address
from uniref.core.errors import UniRefError
from uniref.core.files import sha256
from uniref.core.progress import Progress
from uniref.data.fetch import download, unpack
from uniref.data.fetch.download import discard
from uniref.data.fetch.unpack import (
    DamagedArchiveError,
    holds,
    is_archive,
    is_being_unpacked,
    is_unpacked,
    remove_unpacked,
)
from uniref.data.index import SourceFile
from uniref.data.prepare.dataset import DataSet, RemoteFile
from uniref.data.prepare.split_names import split_of

_ANNOTATIONS = (".json", ".p", ".txt", ".csv", ".xml", ".yaml", ".yml")
_DEEPEST = 4  # folders inside folders where archives are looked for
_HASHED = 1 << 30  # bytes; larger archives are hashed for the manifest only where a checksum is published
_DRIVES = ("drive.google.com", "docs.google.com", "1drv.ms", "onedrive.live.com", "pan.baidu.com", "kaggle.com")
"""Hosts that answer a plain request with a page for people."""


@dataclass
class SourceFiles:
    """The files that a converter may read."""

    bases: list[Path] = field(default_factory=list)
    """Folders to search, in this order."""
    named: list[Path] = field(default_factory=list)
    """Files that were named one by one."""
    sources: list[SourceFile] = field(default_factory=list)
    """Archives, for the manifest."""
    notes: list[str] = field(default_factory=list)


def locate(
    entry: DataSet, root: Path, sources: Sequence[str], splits: Sequence[str], fetch: bool, progress: Progress
) -> SourceFiles:
    """Find the files of a data set; archives are unpacked, addresses fetched on the way.

    Args:
        entry: The data set.
        root: Folder of all indices and media.
        sources: Folders, archives, annotation files or addresses.
        splits: Splits to prepare.
        fetch: Download what has a public address and is not there yet.
        progress: Shows how far it is.

    Raises:
        UniRefError: There are no files; a source is missing, of no known kind, or damaged.
    """
    media = root / "media" / entry.group
    files = SourceFiles()
    for source in sources:
        if is_address(source):
            _open(files, entry, _fetch_address(source, media / "downloads", progress), media, progress)
        elif not Path(source).exists():
            raise UniRefError(f"{source}: no such file or folder")
        else:
            _open(files, entry, Path(source), media, progress)
    for archive in sorted(path for path in media.glob("*") if path.is_file() and is_archive(path)):
        _open(files, entry, archive, media, progress)
    shared = () if entry.is_custom else (root / "media",)  # where other data sets' images may serve
    if fetch:
        _fetch(files, entry, splits, media, [*files.bases, media, *shared], progress)
    files.bases += [x for x in (media, *shared) if x.is_dir()]
    files.bases = list(dict.fromkeys(files.bases))
    if not files.bases:
        raise UniRefError(_how_to_get(entry, media))
    return files


def unpack_archives(files: SourceFiles, entry: DataSet, root: Path, splits: Sequence[str], progress: Progress) -> bool:
    """Unpack the archives that lie in the folders that were named, or some folders below.

    Where some are archives of this data set by name, only these are unpacked: a folder of downloads has others too. Of
    archives that are named after splits, only those of `splits` are unpacked.

    Args:
        files: Its files so far; the unpacked ones are added.
        entry: The data set.
        root: Folder of all indices and media.
        splits: Splits to prepare; empty: all.
        progress: Shows how far it is.

    Returns:
        Whether there were any.

    Raises:
        UniRefError: One is damaged or hostile, or the disk refuses.
    """
    media = root / "media" / entry.group
    archives = [(base, x) for base in files.bases if not base.is_relative_to(root / "media") for x in packed(base)]
    names = {remote.name.lower() for remote in entry.downloads}
    mentioned = re.findall(r"[\w.+-]+", entry.files.lower())
    needed = [(base, x) for base, x in archives if x.name.lower() in names or x.name.lower() in mentioned]
    for base, archive in _of_splits(needed or archives, splits):
        inside = archive.parent.relative_to(base)  # train/patch0.tar.gz and val/patch0.tar.gz stay apart
        _open(files, entry, archive, media / inside, progress)
    if media.is_dir() and media not in files.bases:
        files.bases.append(media)
    return bool(archives)


def packed(base: Path) -> list[Path]:
    """Archives in a folder and below, without those beside a folder of the same name, which were unpacked."""
    archives = []
    for folder, inside, names in os.walk(base):
        if len(Path(folder).relative_to(base).parts) >= _DEEPEST:
            inside.clear()
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        folders = {name.lower() for name in inside}
        for name in sorted(names):
            if is_archive(Path(name)) and not name.startswith(".") and name.lower().partition(".")[0] not in folders:
                archives.append(Path(folder) / name)
    return archives


def _of_splits(archives: Sequence[tuple[Path, Path]], splits: Sequence[str]) -> list[tuple[Path, Path]]:
    """Archives without those of other splits, where every requested split has one."""
    split_by_name = {path: split_of(Path(path.name)) for _, path in archives}
    if not splits or not set(splits) <= set(split_by_name.values()):
        return list(archives)
    return [(base, path) for base, path in archives if split_by_name[path] in (None, *splits)]


def listing(folder: Path) -> list[str]:
    """Names of the entries of a folder, folders with a slash; empty where it is not a folder."""
    if not folder.is_dir():
        return []
    entries = sorted(x for x in folder.iterdir() if not x.name.startswith("."))
    return [f"{x.name}/" if x.is_dir() else x.name for x in entries]


def _open(files: SourceFiles, entry: DataSet, source: Path, media: Path, progress: Progress) -> None:
    """Add the folder of a source: the folder itself, that of the unpacked archive, or that of the file."""
    if source.is_dir():
        files.bases.append(source)
    elif is_archive(source):
        remote = next((r for r in entry.downloads if r.name == source.name and r.sha256), None)
        target = media
        if entry.is_custom:  # nothing of another archive, or of an older version of this one, is mixed in
            target = media / source.name.partition(".")[0]
            if not holds(source, target) and (left := remove_unpacked(target)):
                files.notes.append(f"{target}: keeps {', '.join(left[:5])}, which no archive brought")
        _unpack(files, source, target, remote, progress)
        if target not in files.bases:
            files.bases.append(target)
    elif source.suffix.lower() in _ANNOTATIONS:
        files.bases.append(source.parent)
        files.named.append(source)
    else:
        raise UniRefError(
            f"{source}: is neither a folder, an archive (zip, tar, tar.gz, 7z, ...) nor an annotation file "
            f"({', '.join(_ANNOTATIONS)})"
        )


def _unpack(files: SourceFiles, archive: Path, target: Path, remote: RemoteFile | None, progress: Progress) -> None:
    try:
        unpack(archive, target, progress=progress)
    except DamagedArchiveError as problem:
        if not discard(archive):  # of the user's own, which stays
            raise
        raise UniRefError(f"{problem}: it was deleted; run the command again to do so") from None
    size = archive.stat().st_size
    digest = sha256(archive) if remote is not None or size <= _HASHED else None
    files.sources.append(SourceFile(name=archive.name, size=size, sha256=digest))
    if remote is None or not remote.sha256:
        return
    if digest not in remote.sha256:
        files.notes.append(f"{archive.name} is not the published file (its SHA-256 is {digest})")
    elif remote.editions:
        files.notes.append(f"{archive.name} is {remote.editions[remote.sha256.index(digest)]}")


def _fetch_address(url: str, downloads: Path, progress: Progress) -> Path:
    """Download an address that the user named; each address has a folder of its own.

    Raises:
        UniRefError: Not fetched, or a page for people instead of a file.
    """
    address = parse_address(url)
    steps = [unquote(step) for step in address.path.split("/") if step]
    if any(address.host == drive or address.host.endswith(f".{drive}") for drive in _DRIVES):
        raise UniRefError(
            f"{address}: {address.host} gives no file to a plain request; fetch it by hand and name the file"
        )
    if not steps or any(step in ("..", ".") or "/" in step for step in steps):
        raise UniRefError(f"{address}: names no file")
    if not is_archive(Path(steps[-1])) and Path(steps[-1]).suffix.lower() not in _ANNOTATIONS:
        raise UniRefError(
            f"{address}: names no archive (zip, tar, tar.gz, 7z, ...); fetch it by hand and name the file"
        )
    if address.query:  # it may choose between files; a signed one changes, and then fetches again
        steps.insert(-1, f"query-{hashlib.sha256(address.query.encode()).hexdigest()[:12]}")
    target = downloads.joinpath(f"{address.host.replace(':', '-')}_{address.unusual_port}", *steps)
    return download(url, target, progress=progress, by_hand="fetch it by hand and name the file")


def _fetch(
    files: SourceFiles,
    entry: DataSet,
    splits: Sequence[str],
    media: Path,
    folders: Sequence[Path],
    progress: Progress,
) -> None:
    downloads = [r for r in entry.downloads if not r.splits or set(r.splits) & set(splits)]
    if not downloads and not files.bases:
        raise UniRefError(f"{entry.name}: has no public address to fetch from. {_how_to_get(entry, media)}")
    for file in downloads:
        target = media / file.folder
        archive = is_archive(Path(file.name))
        path = (media / "downloads" / file.folder if archive else target) / file.name
        if is_unpacked(path, target) and not path.exists():
            continue  # the archive was deleted to save space
        if not path.exists() and not is_being_unpacked(path, target) and _is_there(file, folders):
            continue
        download(file.url, path, size=file.size, sha256=file.sha256, md5=file.md5, progress=progress)
        if archive:
            _unpack(files, path, target, file, progress)


def _is_there(remote: RemoteFile, folders: Sequence[Path]) -> bool:
    """Whether a path that makes a download unnecessary exists, in a folder or one below it."""
    below = [x for folder in folders if folder.is_dir() for x in (folder, *folder.iterdir()) if x.is_dir()]
    return any((folder / path).exists() for folder in below for path in remote.instead)


def _how_to_get(entry: DataSet, media: Path) -> str:
    download_too = ", or let --download fetch them" if entry.downloads else ""
    return (
        f"{entry.name}: its files are not here. Get {entry.files} from {entry.page}, then name the folder or archives "
        f"with --source or put them into {media}{download_too}"
    )
