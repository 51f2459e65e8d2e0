"""Submissions to evaluation servers: checked file by file, and packed in its layout."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

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
        raise UsageError(f"{dataset.data}: no server accepts masks for it; score them with --predictions")
    # files that are missing or unexpected
    submission = Submission(path)
    shards = range(len(dataset.shards))
    by_shard = [[name for item in dataset.items(shard) for name in required(dataset, item)] for shard in shards]
    needed, present = {name for names in by_shard for name in names}, set(submission.names)
    out = []
    if not needed & present and (problem := _shifted(needed, present)) is not None:
        out.append(f"every file is one folder off: {problem}")
    out += _by_folder(needed, present, "missing", "missing with all its {} files")
    out += _by_folder(present, needed, "unexpected file", "unexpected folder with {} files")
    out += [f"{a}: twice in the zip" for a, b in zip(submission.names, submission.names[1:], strict=False) if a == b]
    # masks, video by video
    checks = (_ShardCheck(dataset, path, shard, present.intersection(by_shard[shard])) for shard in shards)
    for lines in ordered_map(_check_shard, progress(checks, f"checking {path.name}", len(shards), "video"), workers):
        out += lines
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
    present: Set[str]


def _check_shard(check: _ShardCheck) -> list[str]:
    """What is wrong with a video's masks, one line each."""
    dataset, submission = check.dataset, Submission(check.path)
    out = []
    for item in dataset.items(check.shard):
        media = dataset.index.media(item.sample.media)
        names = [name for name in required(dataset, item) if name in check.present]
        allowed = np.array([0, *_allowed_values(dataset, item)])
        for name, content in zip(names, submission.read(names), strict=True):
            try:
                if isinstance(content, BadMask):
                    raise content
                values = read_values(io.BytesIO(content), (media.height, media.width), (dataset.protocol.mode,))
            except BadMask as error:
                out.append(f"{name}: {error}")
                continue
            distinct = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
            if len(unknown := np.setdiff1d(distinct, allowed)):
                listed = ", ".join(map(str, allowed.tolist()))
                out.append(f"{name}: holds the value {unknown[0]}; allowed are {listed}")
    return out


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
