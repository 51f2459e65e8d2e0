"""Submissions to evaluation servers: checked file by file, and packed in its layout."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uniref.core.atomic import atomic_file
from uniref.core.errors import UniRefError, UsageError
from uniref.core.parallel import ordered_map
from uniref.core.progress import Progress
from uniref.core.tasks import Task
from uniref.evaluation.dataset import EvalDataset, EvalItem, frame_name
from uniref.evaluation.prediction_files import BadMask, read_values

_DATE = (1980, 1, 1, 0, 0, 0)  # in the zip, so that the same masks give the same bytes


@dataclass(frozen=True)
class Submission:
    """A folder or a zip of masks. Raises UniRefError where it is neither."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise UniRefError(f"{self.path}: no such folder or zip")
        if not self.path.is_dir() and not zipfile.is_zipfile(self.path):
            raise UniRefError(f"{self.path}: is neither a folder nor a zip")

    @cached_property
    def names(self) -> list[str]:
        """Every file, relative, with `/`, sorted; a name that the zip holds twice comes twice."""
        if self.path.is_dir():
            files = (path for path in self.path.rglob("*") if not path.is_dir())
            return sorted(path.relative_to(self.path).as_posix() for path in files)
        with zipfile.ZipFile(self.path) as archive:
            return sorted(name for name in archive.namelist() if not name.endswith("/"))

    def read(self, names: Sequence[str]) -> Iterator[bytes | BadMask]:
        """Contents of some files, one after the other, or what is wrong with one."""
        with contextlib.ExitStack() as stack:
            archive = None if self.path.is_dir() else stack.enter_context(zipfile.ZipFile(self.path))
            for name in names:
                try:
                    yield (self.path / name).read_bytes() if archive is None else archive.read(name)
                # RuntimeError: encrypted; NotImplementedError: compressed in another way
                except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
                    yield BadMask(f"cannot be read ({error})")


def required(dataset: EvalDataset, item: EvalItem) -> list[str]:
    """The files of an item's prediction."""
    media = dataset.index.media(item.sample.media)
    first = dataset.first_frame(item.sample)
    return [f"{item.name}/{frame_name(media, t)}.png" for t in range(first, media.length)]


def check_submission(dataset: EvalDataset, path: Path, workers: int, progress: Progress) -> list[str]:
    """Compare a submission with the server's requirements: videos, frames, sizes, modes, object ids.

    Args:
        dataset: The split.
        path: A folder or zip.
        workers: Processes that read masks.
        progress: Shows progress.

    Returns:
        What is wrong, one line each; empty for a valid one.

    Raises:
        UsageError: No server takes masks for this split.
        UniRefError: `path` is neither a folder nor a zip.
    """
    if not dataset.protocol.server:
        truth = "" if dataset.has_ground_truth else " and --truth"
        raise UsageError(f"{dataset.data}: no server accepts masks for it; score them with --predictions{truth}")
    # files as they are named, and as they should have been
    submission = Submission(path)
    shards = range(len(dataset.shards))
    by_shard = [[name for item in dataset.items(shard) for name in required(dataset, item)] for shard in shards]
    needed = {name for names in by_shard for name in names}
    stored = _stored_names(submission, needed)
    present = set(stored)
    out = _wrong_names(submission)
    # files that are missing or unexpected
    if not needed & present and (problem := _shifted(needed, present)) is not None:
        out.append(f"every file is one folder off: {problem}")
    out += _by_folder(needed, present, "missing", "missing with all its {} files")
    out += _by_folder(present, needed, "unexpected file", "unexpected folder with {} files")
    out += [f"{a}: twice in the zip" for a, b in zip(submission.names, submission.names[1:], strict=False) if a == b]
    # masks, video by video
    checks = (
        _ShardCheck(dataset, path, shard, {name: stored[name] for name in by_shard[shard] if name in stored})
        for shard in shards
    )
    for lines in ordered_map(_check_shard, progress(checks, f"checking {path.name}", len(shards), "video"), workers):
        out += lines
    return out


def server_notes(dataset: EvalDataset) -> list[str]:
    """Where a submission goes, one line each; whether that server has closed, and what took over."""
    server = dataset.protocol.server
    if server is None:
        return []
    if not server.closed:
        return [f"{dataset.data}: submit it to {server.page}"]
    after = server.successor or "no successor is known; ask the authors of the data set"
    return [f"{dataset.data}: its server {server.page} is closed: {server.closed}", f"{dataset.data}: {after}"]


_BACKSLASH, _UPPER, _MACOS = "\\", ".PNG", "__MACOSX/"


def _stored_names(submission: Submission, needed: Set[str]) -> dict[str, str]:
    """Names of the files in a submission by what they should be called: with `/`, and `.png` where that is needed."""
    stored: dict[str, str] = {}
    for name in submission.names:
        wanted = name.replace(_BACKSLASH, "/")
        if wanted not in needed and wanted.endswith(_UPPER) and wanted[: -len(_UPPER)] + ".png" in needed:
            wanted = wanted[: -len(_UPPER)] + ".png"
        if not wanted.startswith(_MACOS):
            stored.setdefault(wanted, name)
    return stored


def _wrong_names(submission: Submission) -> list[str]:
    """Causes that spoil many names at once, one line each."""
    names, out = submission.names, []
    if some := [name for name in names if _BACKSLASH in name]:
        out.append(
            f"{len(some)} names are written with backslashes, first {some[0]}: a server takes each for the name of a "
            "file without a folder; pack with another tool, for example python -m zipfile -c"
        )
    if some := [name for name in names if name.endswith(_UPPER)]:
        out.append(f"{len(some)} names end in .PNG, first {some[0]}: servers look for .png; rename them")
    if some := [name for name in names if name.lower().endswith(".zip")]:
        out.append(f"{some[0]}: is a zip in the submission; pack the folders that are in it instead")
    if some := [name for name in names if name.startswith(_MACOS)]:
        out.append(f"{_MACOS} holds {len(some)} files that macOS added; pack with zip -r -X, without that folder")
    return out


def _shifted(needed: set[str], present: set[str]) -> str | None:
    """How to move a submission that begins a level too deep or too shallow."""
    some = sorted(needed)[0]
    for name in present:
        if name.endswith(f"/{some}"):
            return f"the zip or folder has to begin with {some.split('/')[0]}, it begins with {name.split('/')[0]}"
        if some.endswith(f"/{name}"):
            return f"put it into a folder {some.removesuffix('/' + name)}"
    return None


def _by_folder(names: Set[str], others: Set[str], one: str, whole: str) -> list[str]:
    """A line for each of `names` that is not among `others`; a folder none of whose names is has one for them all."""
    parents = {name.rpartition("/")[0] for name in names & others}
    lines: list[str] = []
    for folder, group in groupby(sorted(names - others, key=_by_parent), key=lambda name: name.rpartition("/")[0]):
        files = list(group)
        if folder and folder not in parents and len(files) > 1:
            lines.append(f"{folder}: {whole.format(len(files))}")
        else:
            lines += [f"{name}: {one}" for name in files]
    return lines


def _by_parent(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    return folder, file


@dataclass(frozen=True)
class _ShardCheck:
    """The masks of a video that are to be checked."""

    dataset: EvalDataset
    path: Path
    shard: int
    present: Mapping[str, str]
    """Name that it should have -> name in the submission."""


def _check_shard(check: _ShardCheck) -> list[str]:
    """What is wrong with a video's masks, one line each."""
    dataset, submission = check.dataset, Submission(check.path)
    out = []
    for item in dataset.items(check.shard):
        media = dataset.index.media(item.sample.media)
        names = [name for name in required(dataset, item) if name in check.present]
        allowed = np.array([0, *_allowed_values(dataset, item)])
        for name, content in zip(names, submission.read([check.present[name] for name in names]), strict=True):
            try:
                if isinstance(content, BadMask):
                    raise content
                values = read_values(io.BytesIO(content), (media.height, media.width), (dataset.protocol.mode,))
            except BadMask as error:
                out.append(f"{name}: {error}")
                continue
            distinct = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
            if len(np.setdiff1d(distinct, allowed)):
                out.append(f"{name}: {_wrong_values(distinct, allowed)}")
    return out


def _wrong_values(distinct: npt.NDArray[np.int64], allowed: npt.NDArray[np.int64]) -> str:
    """What is wrong with the values of a mask, and the usual cause."""
    listed = ", ".join(map(str, allowed.tolist()))
    if allowed.tolist() == [0, 255] and distinct.max() == 1:
        return "holds 0 and 1 where 0 and 255 are wanted; write mask * 255"
    unknown = np.setdiff1d(distinct, allowed)
    return f"holds the value {unknown[0]}; allowed are {listed}"


def _allowed_values(dataset: EvalDataset, item: EvalItem) -> list[int]:
    if dataset.one_mask:
        return [255]
    if dataset.protocol.task == Task.RVOS:
        return list(range(1, len(item.expressions) + 1))
    return [dataset.index.object(row).source_id for row in item.sample.objects]


def pack(folder: Path, path: Path) -> None:
    """Zip a folder of masks, complete or not at all; the same masks give the same bytes. Raises UniRefError."""
    submission = Submission(folder)
    # PNGs are compressed already
    with atomic_file(path) as work, zipfile.ZipFile(work, "w", zipfile.ZIP_STORED) as archive:
        for name, content in zip(submission.names, submission.read(submission.names), strict=True):
            if isinstance(content, BadMask):
                raise UniRefError(f"{folder / name}: {content}")
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
