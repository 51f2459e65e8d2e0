"""Preparing a data set: find or fetch its files, convert each split, check the result."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uniref.core.atomic import replace_folder
from uniref.core.errors import UniRefError, UsageError
from uniref.core.lock import exclusive
from uniref.data.fetch import download, unpack
from uniref.data.fetch.unpack import is_archive
from uniref.data.index import Index
from uniref.data.prepare.catalog import CATALOG, DataSet, Expected, Remote
from uniref.data.prepare.check import check_media, count_problems, leaks
from uniref.data.prepare.job import Job, Progress


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    dataset: str
    root: Path = Path("data")
    sources: Sequence[str] = ()
    """Folders, archives or addresses of the published files."""
    splits: Sequence[str] = ()
    workers: int = 1
    download: bool = False
    subset: int | None = None
    skip_bad: bool = False
    accept_counts: bool = False
    overwrite: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that only some data sets have."""


@dataclass(frozen=True)
class Prepared:
    """One split, done."""

    folder: Path
    index: Index
    fresh: bool
    """Made now, not found finished."""
    bad: Sequence[str] = ()
    """Records that were left out."""
    notes: Sequence[str] = ()


def find_data_set(name: str) -> DataSet:
    """An entry of the catalogue. Raises UsageError."""
    if name not in CATALOG:
        raise UsageError(f"{name}: unknown data set; there are {', '.join(CATALOG)}")
    return CATALOG[name]


def index_folder(root: Path, dataset: str, split: str) -> Path:
    """Where the index of a split lies."""
    return Path(root) / "index" / dataset / split


def prepare(request: Request, progress: Progress) -> list[Prepared]:
    """Make the index of every wanted split; finished ones are kept.

    Raises:
        UsageError: An unknown data set, split or option.
        UniRefError: Files missing or bad, counts that differ, another process at work on the same data set.
    """
    entry = find_data_set(request.dataset)
    splits = _splits(entry, request)
    _check_options(entry, request)
    name = str(request.options.get("name") or entry.name)
    if name != entry.name:
        _check_name(name)
        entry = replace(entry, name=name)
    with exclusive(Path(request.root) / "index" / name, "prepared"):
        done = {split: found for split in splits if (found := _finished(request, entry, split)) is not None}
        todo = [split for split in splits if split not in done]
        bases = _bases(entry, request, todo, progress) if todo else []
        for split in todo:
            done[split] = _prepare_split(entry, request, split, bases, progress)
    return [done[split] for split in splits]


def _splits(entry: DataSet, request: Request) -> list[str]:
    unknown = [split for split in request.splits if split not in entry.splits]
    if unknown:
        raise UsageError(f"{entry.name} has no split {unknown[0]}; it has {', '.join(entry.splits)}")
    if entry.name == "custom" and not request.splits:
        from uniref.data.prepare.custom import splits_of

        return splits_of([Path(source) for source in request.sources])
    return list(request.splits or entry.default_splits or entry.splits)


def _check_options(entry: DataSet, request: Request) -> None:
    for name, value in request.options.items():
        if value not in (None, False) and name not in entry.options:
            having = [other.name for other in CATALOG.values() if name in other.options]
            raise UsageError(f"--{name.replace('_', '-')} is not for {entry.name}, only for {', '.join(having)}")
    if request.subset is not None and request.subset < 1:
        raise UsageError("--subset: must be at least 1")


def _check_name(name: str) -> None:
    if name in CATALOG or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"--name {name}: choose letters, digits, - and _, and no name of a published data set")


def _wanted_options(request: Request) -> dict[str, Any]:
    options = {name: str(value) if isinstance(value, Path) else value for name, value in request.options.items()}
    options = {name: value for name, value in options.items() if value not in (None, False)}
    return options | ({} if request.subset is None else {"subset": request.subset})


def _finished(request: Request, entry: DataSet, split: str) -> Prepared | None:
    """The split's index, if an earlier run made it with the same options."""
    folder = index_folder(request.root, entry.name, split)
    if request.overwrite or not folder.exists():
        return None
    try:
        index = Index.open(folder)
    except UniRefError:
        return None  # damaged or of an older format: made again
    same = index.manifest.options == _wanted_options(request)
    return Prepared(folder, index, fresh=False) if same else None


def _bases(entry: DataSet, request: Request, splits: Sequence[str], progress: Progress) -> list[Path]:
    """Folders to look for published files in; archives are unpacked, addresses fetched on the way."""
    if not entry.group:
        return []  # made, not found
    media = Path(request.root) / "media" / entry.group
    bases: list[Path] = []
    for source in request.sources:
        if "://" in source:
            file = download(source, media / "downloads" / Remote(source).name, progress=progress)
            bases += _opened(file, media, progress)
        elif not Path(source).exists():
            raise UniRefError(f"{source}: no such file or folder")
        else:
            bases += _opened(Path(source), media, progress)
    if request.download and not request.sources:
        _fetch(entry, splits, media, progress)
    shared = Path(request.root) / "media"
    bases += [x for x in (media, shared) if x.is_dir()]
    if not bases:
        raise UniRefError(_how_to_get(entry, media))
    return list(dict.fromkeys(bases))


def _opened(source: Path, media: Path, progress: Progress) -> list[Path]:
    """The folder that a source gives: itself, or what is in the archive."""
    if source.is_dir():
        return [source]
    if is_archive(source):
        unpack(source, media, progress=progress)
        return [media]
    return [source.parent]


def _fetch(entry: DataSet, splits: Sequence[str], media: Path, progress: Progress) -> None:
    remotes = [r for r in entry.remotes if not r.splits or set(r.splits) & set(splits)]
    if not remotes:
        raise UniRefError(_how_to_get(entry, media))
    for remote in remotes:
        file = download(
            remote.url,
            media / "downloads" / remote.name,
            size=remote.size,
            sha256=remote.sha256,
            md5=remote.md5,
            progress=progress,
        )
        if is_archive(file):
            unpack(file, media, progress=progress)


def _how_to_get(entry: DataSet, media: Path) -> str:
    download_too = ", or let --download fetch them" if entry.remotes else ""
    return (
        f"{entry.name}: its files are not here. Get {entry.files} from {entry.page}, then name the folder or archives "
        f"with --source or put them into {media}{download_too}"
    )


def _prepare_split(entry: DataSet, request: Request, split: str, bases: Sequence[Path], progress: Progress) -> Prepared:
    folder = index_folder(request.root, entry.name, split)
    staged = folder.with_name(f".{split}.new")  # as deep as the final name: relative paths stay right
    job = Job(
        dataset=entry,
        split=split,
        bases=bases,
        folder=staged,
        progress=progress,
        workers=request.workers,
        subset=request.subset,
        skip_bad=request.skip_bad,
        options=_wanted_options(request),
        root=Path(request.root),
    )
    try:
        importlib.import_module(f"uniref.data.prepare.{entry.module}").prepare(job)
        index = Index.open(staged)
        notes = list(index.manifest.notes)
        if not len(index):
            where = f" in {', '.join(map(str, bases))}" if bases else ""
            raise UniRefError(f"{entry.name}/{split}: no samples were found{where}")
        notes += _judge_counts(index, entry.splits[split], request)
        replace_folder(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    index = Index.open(folder)
    return Prepared(folder, index, fresh=True, bad=tuple(job.bad_records), notes=(*notes, *leaks(index, job.root)))


def _judge_counts(index: Index, expected: Expected, request: Request) -> list[str]:
    """Lines about published counts. Raises UniRefError where they differ and nothing explains it."""
    if request.subset is not None:
        return [f"only the first {request.subset} images or videos (--subset): published counts are not checked"]
    problems = count_problems(index, expected)
    if problems and not (request.skip_bad or request.accept_counts):
        raise UniRefError(
            f"{index.manifest.name}: {'; '.join(problems)}; fetch what is missing, or pass --accept-counts"
        )
    return problems


def verify(root: Path, dataset: str, splits: Sequence[str], progress: Progress) -> list[Prepared]:
    """Check prepared splits again: checksums, published counts, and that every picture is still there.

    Raises:
        UsageError: Unknown names.
        UniRefError: Not prepared, or not as it was written.
    """
    own = dataset not in CATALOG and (Path(root) / "index" / dataset).is_dir()  # prepared as custom under its own name
    entry = CATALOG["custom"] if own else find_data_set(dataset)
    done = []
    for split in splits or entry.splits:
        folder = index_folder(root, dataset, split)
        if not folder.exists() and not splits:
            continue
        index = Index.open(folder)
        index.verify()
        check_media(index, progress)
        subset = index.manifest.options.get("subset")
        notes = [] if subset else count_problems(index, entry.splits[split])
        done.append(Prepared(folder, index, fresh=False, notes=notes))
    if not done:
        raise UniRefError(f"{dataset}: nothing is prepared under {Path(root) / 'index' / dataset}")
    return done
