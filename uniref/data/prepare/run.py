"""Preparing a data set: find or fetch its files, convert each split, check the result."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uniref.core.atomic import exclusive, foreign_files, replace_folder, use_final_name
from uniref.core.errors import UniRefError, UsageError
from uniref.core.files import first_line
from uniref.core.progress import Progress
from uniref.core.text import printable
from uniref.data.index import Index
from uniref.data.index.manifest import NAME
from uniref.data.index.schema import TABLES
from uniref.data.prepare.catalog import data_set_options, data_sets, find_data_set, other_folders
from uniref.data.prepare.check import check_media, count_problems
from uniref.data.prepare.dataset import DataSet, option_values
from uniref.data.prepare.job import ConversionJob, FilesMissing
from uniref.data.prepare.leaks import leaks
from uniref.data.prepare.source_files import SourceFiles, listing, locate, unpack_archives

_MOST_NAMES = 8  # names of what was found, in a message
SKIPPED = "skipped.txt"
"""File beside an index's tables that lists the bad records that were left out."""


@dataclass(frozen=True)
class Request:
    """What to prepare, as `prepare-data` was called."""

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
    """A prepared split."""

    folder: Path
    index: Index
    fresh: bool
    """Made by this run, not by an earlier one."""
    bad: Sequence[str] = ()
    """Records that were left out."""
    terms: str = ""
    """Under which the data may be used."""
    notes: Sequence[str] = ()
    form: str = ""
    """What a user's own files were recognised as; only where they were read now."""


def index_folder(root: Path, dataset: str, split: str) -> Path:
    """Where the index of a split lies."""
    return Path(root) / "index" / dataset / split


def prepare(
    request: Request,
    progress: Progress,
    report: Callable[[Prepared], None] = lambda prepared: None,
    warn: Callable[[str], None] = lambda line: None,
) -> list[Prepared]:
    """Make the index of every requested split; finished ones are kept.

    Requested splits must all be there. Without a choice of splits those that are there are made, and it is an error
    only if there is none. A failure leaves no folders and no locks that were not there before.

    Args:
        request: Data set, sources, splits and options.
        progress: Shows how far it is.
        report: Called with every split as soon as it is done, even if a later one fails.
        warn: Called with a line about every split that is not there and was not asked for.

    Raises:
        UsageError: An unknown data set, split or option.
        UniRefError: Files missing or bad, counts that differ, another process at work on the same data set.
    """
    # the request is checked before anything is looked for
    entry = find_data_set(request.dataset)
    _check_splits(entry, request)
    _check_options(entry, request)
    name = str(request.options.get("name") or entry.name)
    if name != entry.name:
        _check_name(name)
    if entry.is_custom:
        entry = replace(entry, name=name, group=f"custom/{name}")  # each has a media folder of its own
    done: list[Prepared] = []
    missing: list[FilesMissing] = []
    # split by split; a missing one does not stop the others
    with _remove_empty_folders(entry, Path(request.root)), exclusive(Path(request.root) / "index" / name, "prepared"):
        files = _SourceFinder(entry, request, progress)
        for split in _splits(entry, request, files):
            try:
                prepared = _finished(request, entry, split) or _prepare_or_unpack(
                    entry, request, split, files, progress
                )
            except FilesMissing as error:
                missing.append(error)  # the others may be there: people fetch what they need
                continue
            done.append(prepared)
            report(prepared)
        if missing and (request.splits or not done):
            raise missing[0]
    for each in missing:
        warn(f"{each}; the other splits were prepared")
    return done


@contextlib.contextmanager
def _remove_empty_folders(entry: DataSet, root: Path) -> Iterator[None]:
    """Wrap a run: folders that it made and that are empty afterwards are removed."""
    index, media = root / "index", root / "media"
    group = media / entry.group if entry.group else media
    folders = [index / entry.name, index, group, *(x for x in group.parents if x.is_relative_to(media)), media, root]
    new = [folder for folder in dict.fromkeys(folders) if not folder.exists()]
    try:
        yield
    finally:
        for folder in new:
            with contextlib.suppress(OSError):  # not empty, or never made
                folder.rmdir()


def _prepare_or_unpack(
    entry: DataSet, request: Request, split: str, files: _SourceFinder, progress: Progress
) -> Prepared:
    """Prepare a split; where its files are missing, those of archives in the folders that were named.

    Raises:
        FilesMissing: They are in none of them; the message lists what the folders hold.
    """
    while True:
        try:
            return _prepare_split(entry, request, split, files(), progress, files.unpacked)
        except FilesMissing as error:
            if not files.unpack_more():
                raise FilesMissing(f"{error}{files.contents()}") from None


class _SourceFinder:
    """Finds the published files when the first split needs them."""

    def __init__(self, entry: DataSet, request: Request, progress: Progress) -> None:
        self._entry, self._request, self._progress = entry, request, progress
        self._files: SourceFiles | None = None
        self._unpacked = False

    def __call__(self) -> SourceFiles:
        if not self._entry.group:
            return SourceFiles()  # made, not found
        if self._files is None:
            r = self._request
            splits = r.splits or self._entry.default_splits or tuple(self._entry.splits)
            self._files = locate(self._entry, Path(r.root), r.sources, splits, r.download, self._progress)
        return self._files

    def unpack_more(self) -> bool:
        """Unpack the archives that lie in the folders that were named. Returns whether there were any; does so once.

        Raises:
            UniRefError: One is damaged or hostile.
        """
        if self._files is None or self._unpacked:
            return False
        self._unpacked = True
        r = self._request
        return unpack_archives(self._files, self._entry, Path(r.root), r.splits, self._progress)

    @property
    def unpacked(self) -> bool:
        """Whether `unpack_more` was tried."""
        return self._unpacked

    def contents(self) -> str:
        """Entries of the source folders, for the message that a file is missing."""
        names = [name for source in self._request.sources for name in listing(Path(source))]
        if not names or self._entry.is_custom:
            return ""
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return f"; there are {', '.join(names[:_MOST_NAMES])}{more}"


def _check_splits(entry: DataSet, request: Request) -> None:
    unknown = [split for split in request.splits if split not in entry.splits]
    if unknown:
        raise UsageError(f"{entry.name} has no split {unknown[0]}; it has {', '.join(entry.splits)}")


def _splits(entry: DataSet, request: Request, files: _SourceFinder) -> Sequence[str]:
    if entry.find_splits is not None and not request.splits:
        prepared = [split for split in entry.splits if index_folder(request.root, entry.name, split).is_dir()]
        if prepared and not request.sources:
            return prepared
        splits = entry.find_splits(files(), Path(request.root))
        if not splits and files.unpack_more():
            splits = entry.find_splits(files(), Path(request.root))
        return splits or ["train"]
    return list(dict.fromkeys(request.splits)) or entry.default_splits or tuple(entry.splits)


def _check_options(entry: DataSet, request: Request) -> None:
    own = {option.name for option in entry.options}
    for name in option_values(request.options):
        if name not in own:
            takers = [each for option, names in data_set_options().items() if option.name == name for each in names]
            raise UsageError(f"--{name.replace('_', '-')} is not for {entry.name}, only for {', '.join(takers)}")
    if request.subset is not None and request.subset < 1:
        raise UsageError("--subset: must be at least 1")


def _check_name(name: str) -> None:
    if name in data_sets() or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"--name {name}: choose letters, digits, - and _, and no name of a published data set")


def _recorded(request: Request) -> dict[str, Any]:
    """Options that change the content of the index, as the manifest records them (without paths)."""
    options = {name: value for name, value in option_values(request.options).items() if not isinstance(value, Path)}
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
    if index.manifest.options != _recorded(request):
        return None
    return Prepared(folder, index, fresh=False, notes=(*index.manifest.notes, *_differences(index, entry, split)))


def _prepare_split(
    entry: DataSet, request: Request, split: str, files: SourceFiles, progress: Progress, unpacked: bool
) -> Prepared:
    folder = index_folder(request.root, entry.name, split)
    staged = folder.with_name(f".{split}.new")  # as deep as the final name: relative paths stay right
    job = ConversionJob(
        dataset=entry,
        split=split,
        bases=files.bases,
        folder=staged,
        progress=progress,
        workers=request.workers,
        subset=request.subset,
        skip_bad=request.skip_bad,
        options=option_values(request.options),
        root=Path(request.root),
        named=files.named,
        other_folders=other_folders(request.dataset),
        sources=list(files.sources),
        notes=list(files.notes),
        unpacked=unpacked,
    )
    # into a hidden folder, which takes its name when the counts are right
    try:
        _convert(entry, job)
        index = Index.open(staged)
        if not len(index):
            raise UniRefError(_no_samples_message(job, index))
        notes = [*index.manifest.notes, *_judge_counts(index, entry, split, request)]
        if job.bad_records:
            lines = "".join(f"{printable(line)}\n" for line in job.bad_records)
            (staged / SKIPPED).write_text(lines, encoding="utf-8", errors="replace")
        # a user's files in the old folder stay
        written = {NAME, SKIPPED, *(f"{table}.arrow" for table in TABLES)}
        kept = foreign_files(folder, written) if folder.is_dir() else []
        if kept:
            notes.append(f"{folder}: keeps {', '.join(kept[:5])}, which uniref did not write")
        replace_folder(staged, folder, foreign_files(folder, written) if folder.is_dir() else ())
    except OSError as error:
        raise UniRefError(f"{folder}: cannot be written ({error.strerror or error})") from error
    except UniRefError as error:
        use_final_name(error, staged, folder)
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    # what to report about it
    index = Index.open(folder)
    terms = f"{entry.licence} ({entry.page})" if entry.page.startswith("http") else ""
    notes += leaks(index, job.root)
    return Prepared(
        folder, index, fresh=True, bad=tuple(job.bad_records), notes=tuple(notes), terms=terms, form=job.form
    )


def _convert(entry: DataSet, job: ConversionJob) -> None:
    """Run the converter. Raises UniRefError, also where the files have a structure that no check expected."""
    try:
        entry.convert(job)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        where = job.last_used or (job.bases[0] if job.bases else job.folder)
        raise UniRefError(f"{where}: is not in the form that {entry.name} has ({first_line(error)})") from error


def _no_samples_message(job: ConversionJob, index: Index) -> str:
    """The message for a conversion that went well and produced no sample."""
    where = f" in {', '.join(map(str, job.bases))}" if job.bases else ""
    dropped = ", ".join(f"{count:,} x {reason}" for reason, count in index.manifest.dropped.items())
    needed = job.sample_needs or f"{index.manifest.task.value} samples"
    return (
        f"{job.dataset.name}/{job.split}: no {needed} were found{where}: "
        f"{index.manifest.counts['media']:,} images or videos, {index.manifest.counts['objects']:,} objects"
        + (f"; left out: {dropped}" if dropped else "")
    )


def _judge_counts(index: Index, entry: DataSet, split: str, request: Request) -> list[str]:
    """Differences from the published counts. Raises UniRefError where there are some and no option allows them."""
    problems = _differences(index, entry, split)
    allowed = request.subset is not None or request.skip_bad or request.accept_counts
    if problems and not allowed:
        raise UniRefError(
            f"{index.manifest.name}: {'; '.join(problems)}; fetch what is missing, or pass --accept-counts"
        )
    return problems


def _differences(index: Index, entry: DataSet, split: str) -> list[str]:
    """Differences of an index from the published counts, one line each."""
    subset = index.manifest.options.get("subset")
    if subset is not None:
        return [f"only the first {subset} images or videos (--subset): published counts are not checked"]
    return count_problems(index, entry.splits[split])


def verify(root: Path, dataset: str, splits: Sequence[str], progress: Progress, workers: int = 1) -> list[Prepared]:
    """Check prepared splits again: checksums, published counts, and that every image can be decoded.

    Raises:
        UsageError: Unknown names.
        UniRefError: Not prepared, or not as it was written.
    """
    own = (
        dataset not in data_sets() and (Path(root) / "index" / dataset).is_dir()
    )  # prepared as custom under its own name
    entry = data_sets()["custom"] if own else find_data_set(dataset)
    done = []
    for split in splits or entry.splits:
        folder = index_folder(root, dataset, split)
        if not folder.exists() and not splits:
            continue
        index = Index.open(folder)
        index.verify()
        check_media(index, progress, workers)
        notes = (*index.manifest.notes, *_differences(index, entry, split))
        done.append(Prepared(folder, index, fresh=False, notes=notes))
    if not done:
        raise UniRefError(f"{dataset}: nothing is prepared under {Path(root) / 'index' / dataset}")
    return done
