"""Submissions to evaluation servers: checked file by file, and packed as the server wants them."""

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
from uniref.evaluation.benchmark import Benchmark, Case, frame_name
from uniref.evaluation.masks_on_disk import BadMask, read_values

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


def required(benchmark: Benchmark, case: Case) -> list[str]:
    """The files that a case needs."""
    media = benchmark.index.media(case.sample.media)
    first = benchmark.first_frame(case.sample)
    return [f"{case.name}/{frame_name(media, t)}.png" for t in range(first, media.length)]


def check_submission(benchmark: Benchmark, path: Path, workers: int, progress: Progress) -> list[str]:
    """Compare a submission with what the server requires: videos, frames, sizes, modes, object ids.

    Args:
        benchmark: The split.
        path: A folder or zip.
        workers: Processes that read masks.
        progress: Shows how far it is.

    Returns:
        What is wrong, a line each; empty for a good one.

    Raises:
        UsageError: No server takes masks for this split.
        UniRefError: `path` is neither a folder nor a zip.
    """
    if not benchmark.protocol.server:
        raise UsageError(f"{benchmark.data}: no server takes masks for it; score them with --predictions")
    submission = Submission(path)
    units = range(len(benchmark.units))
    by_unit = [[name for case in benchmark.cases(unit) for name in required(benchmark, case)] for unit in units]
    needed, there = {name for names in by_unit for name in names}, set(submission.names)
    out = []
    if not needed & there and (place := _moved(needed, there)) is not None:
        out.append(f"everything lies one folder off: {place}")
    out += _by_folder(needed, there, "missing", "missing with all its {} files")
    out += _by_folder(there, needed, "belongs to nothing", "belongs to nothing, like all its {} files")
    out += [f"{a}: twice in the zip" for a, b in zip(submission.names, submission.names[1:], strict=False) if a == b]
    checks = (_Check(benchmark, path, unit, there.intersection(by_unit[unit])) for unit in units)
    for found in ordered_map(_check_unit, progress(checks, f"checking {path.name}", len(units), "video"), workers):
        out += found
    return out


def _moved(needed: set[str], there: set[str]) -> str | None:
    """Where a submission begins, if a level too deep or too shallow."""
    some = sorted(needed)[0]
    for name in there:
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
class _Check:
    """The masks of a video that are to be looked at."""

    benchmark: Benchmark
    path: Path
    unit: int
    there: Set[str]


def _check_unit(check: _Check) -> list[str]:
    benchmark, submission = check.benchmark, Submission(check.path)
    out = []
    for case in benchmark.cases(check.unit):
        media = benchmark.index.media(case.sample.media)
        names = [name for name in required(benchmark, case) if name in check.there]
        allowed = np.array([0, *_ids(benchmark, case)])
        for name, content in zip(names, submission.read(names), strict=True):
            try:
                if isinstance(content, BadMask):
                    raise content
                values = read_values(io.BytesIO(content), (media.height, media.width), (benchmark.protocol.mode,))
            except BadMask as error:
                out.append(f"{name}: {error}")
                continue
            found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
            if len(strange := np.setdiff1d(found, allowed)):
                listed = ", ".join(map(str, allowed.tolist()))
                out.append(f"{name}: holds the value {strange[0]}; allowed are {listed}")
    return out


def _ids(benchmark: Benchmark, case: Case) -> list[int]:
    if benchmark.one_mask:
        return [255]
    if benchmark.protocol.task == Task.RVOS:
        return list(range(1, len(case.expressions) + 1))
    return [benchmark.index.object(row).source_id for row in case.sample.objects]


def pack(folder: Path, path: Path) -> None:
    """Zip a folder of masks, complete or not at all; the same masks give the same bytes. Raises UniRefError."""
    submission = Submission(folder)
    # PNGs are compressed already
    with atomic_file(path) as work, zipfile.ZipFile(work, "w", zipfile.ZIP_STORED) as archive:
        for name, content in zip(submission.names, submission.read(submission.names), strict=True):
            if isinstance(content, BadMask):
                raise UniRefError(f"{folder / name}: {content}")
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
