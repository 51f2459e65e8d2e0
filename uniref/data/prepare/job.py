"""The job of a converter: where the published files are, what to convert, and how to report bad records."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from uniref.core.errors import UniRefError
from uniref.core.files import exists, read_text, sha256
from uniref.core.json_files import read_json
from uniref.core.parallel import ordered_map
from uniref.core.progress import Progress
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter, SourceFile
from uniref.data.prepare.dataset import DataSet
from uniref.media.image import ImageProblem, open_image

T = TypeVar("T")
R = TypeVar("R")
BAD = "bad record"
"""What `Job.dropped` calls those that --skip-bad leaves out."""
# other reasons of `ConversionJob.dropped`: left out on purpose, so that counts compare with the published ones
WITHHELD_IMAGE = "image of a RefCOCO evaluation split"
WITHHELD_REF = "object in an image of an evaluation split"
EMPTY_SENTENCE = "empty sentence"
EMPTY_REF = "object without a usable sentence"
OTHER_SIZE = "mask of another size"
EMPTY_MASK = "empty mask"
DEGENERATE = "annotation whose polygons are all degenerate"

_LARGEST_JSON = 1 << 33  # bytes; what is read at once is far smaller than what is streamed
_LONGEST_NAME = 255  # of a file that is looked for
_FEW = 16  # items for which starting processes does not pay


class FilesMissing(UniRefError):
    """A published file is not in any of the folders that may have it."""


class BadRecord(UniRefError):
    """A record of the published files that cannot be used; `ConversionJob.bad` decides what happens."""


@dataclass
class ConversionJob:
    """One split of one data set that is to be converted; the only argument of a converter."""

    dataset: DataSet
    split: str
    bases: Sequence[Path]
    """Folders to look for published files in, in this order."""
    folder: Path
    """Where the index goes."""
    progress: Progress
    workers: int = 1
    subset: int | None = None
    """Only the first so many images or videos."""
    skip_bad: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that only some data sets have."""
    root: Path = Path("data")
    """Where indices and media of all data sets lie."""
    named: Sequence[Path] = ()
    """Files that the user named one by one."""
    other_folders: frozenset[str] = frozenset()
    """Names (lower case) of folders that hold other data sets, which are not searched."""
    sources: list[SourceFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sample_needs: str = ""
    """What a sample needs, for the message that there is none."""
    unpacked: bool = False
    """Whether archives in the folders of the sources have been unpacked, or there are none."""
    form: str = ""
    """Format that a user's own files were recognised as."""
    bad_records: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """Records left out, by reason; the index's manifest gets it."""
    last_used: Path | None = None
    """The published file that was opened last."""

    def find(self, *candidates: str) -> Path | None:
        """The first of several relative paths that exists in one of the bases, or one folder below it.

        Of the folders below, those with a name of this data set come first, and those with a name of another
        are left out: many data sets have a `train/JPEGImages` or an `annotations/train.json`.
        """
        for base in self.bases:
            for start in (base, *self._below(base)):
                for candidate in candidates:
                    if exists(start / candidate):
                        return start / candidate
        return None

    def _below(self, base: Path) -> list[Path]:
        own = {self.dataset.group, *self.dataset.folders}
        folders = sorted(x for x in base.iterdir() if x.is_dir() and not x.name.startswith("."))
        named_alike = [x for x in folders if x.name.lower() in own]
        others = [x for x in folders if x.name.lower() not in own | self.other_folders]
        return [*named_alike, *others]

    def need(self, *candidates: str) -> Path:
        """As `find`.

        Raises:
            FilesMissing: None of them exists; the message lists the candidates.
        """
        path = self.find(*candidates)
        if path is None:
            where = ", ".join(str(base) for base in self.bases)
            raise FilesMissing(
                f"{self.dataset.name}/{self.split}: found no {_some(candidates)} in {where}; "
                f"it is part of {self.dataset.files}"
            )
        return path

    def read_json(self, path: Path) -> Any:
        """A JSON file, which the manifest then names as a source.

        Raises:
            UniRefError: Cannot be read, or not valid JSON.
        """
        data = read_json(path, largest=_LARGEST_JSON)
        self.used(path)
        return data

    def read_lines(self, path: Path, encoding: str = "utf-8-sig") -> list[str]:
        """Non-empty lines of a text file, stripped. Raises UniRefError."""
        text = read_text(path, encoding=encoding)
        self.used(path)
        return [line.strip() for line in text.splitlines() if line.strip()]

    def read_names(self, path: Path) -> list[str]:
        """A text file with a name per line; one that is listed twice is bad, since it would count twice.

        Raises:
            UniRefError: The file cannot be read, or a name is listed twice and bad records are not skipped.
        """
        lines = self.read_lines(path)
        names = list(dict.fromkeys(lines))
        for name in names:
            if lines.count(name) > 1:
                self.bad(f"{path}: {name}", "is listed twice")
        return names

    def used(self, path: Path) -> None:
        """Name a file in the manifest, with its checksum."""
        self.last_used = path
        name = f"{path.parent.name}/{path.name}"
        self.sources.append(SourceFile(name=name, size=path.stat().st_size, sha256=sha256(path)))

    def video(self, name: str) -> str:
        """The name of a video for messages, with the file that listed it or the folder that it lies in."""
        origin = self.last_used or (self.bases[0] if self.bases else self.dataset.name)
        return f"{origin}: video {name}"

    def bad(self, where: str | Path, problem: str) -> None:
        """Report a record that cannot be used: stop, or with --skip-bad leave it out and list it.

        Raises:
            UniRefError: Unless bad records are skipped.
        """
        line = f"{where}: {problem}"
        if not self.skip_bad:
            raise UniRefError(f"{line} (--skip-bad leaves such records out)")
        self.bad_records.append(line)
        self.dropped[BAD] = self.dropped.get(BAD, 0) + 1

    @contextlib.contextmanager
    def record(self, where: str | Path) -> Iterator[None]:
        """Wrap the use of one record: any fault of it is reported to `bad`.

        A missing key or a value of another type is a fault of the published file, not of this package.
        """
        try:
            yield
        except BadRecord as error:
            self.bad(where, str(error))
        except KeyError as error:
            self.bad(where, f"has no {error}")
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            self.bad(where, f"malformed ({error})")

    def map(self, work: Callable[[T], R], items: Sequence[T], unit: str) -> Generator[R]:
        """`work` over the items on all workers, in order, with progress. `work` must be a module-level function."""
        workers = self.workers if len(items) >= _FEW else 1
        results = ordered_map(work, items, workers)
        description = f"{self.dataset.name}/{self.split}"
        yield from self.progress(results, description, len(items), unit)

    def map_chunks(self, work: Callable[[T], Sequence[R]], chunks: Iterable[T], total: int, unit: str) -> Generator[R]:
        """As `map`, for items so quick that they are sent in chunks; yields the `total` results one by one."""
        workers = self.workers if total >= _FEW * 256 else 1
        results = chain.from_iterable(ordered_map(work, chunks, workers))
        yield from self.progress(results, f"{self.dataset.name}/{self.split}", total, unit)

    def first(self, items: Sequence[T]) -> Sequence[T]:
        """All of the images or videos, or the first `subset` of them."""
        return items if self.subset is None else items[: self.subset]

    def writer(
        self, roots: Mapping[str, Path], task: Task | None = None, categories: Mapping[int, str] | None = None
    ) -> IndexWriter:
        """The writer of this split's index."""
        options = {name: value for name, value in self.options.items() if not isinstance(value, Path)}
        if self.subset is not None:
            options["subset"] = self.subset
        writer = IndexWriter(
            self.folder,
            dataset=self.dataset.name,
            split=self.split,
            task=task or self.dataset.task,
            roots=roots,
            categories=categories,
            options=options,
        )
        # filled while files are read
        writer.sources, writer.dropped, writer.notes = self.sources, self.dropped, self.notes
        return writer


def _some(candidates: Sequence[str]) -> str:
    """Candidates on one line, for a message."""
    return " or ".join(name[:_LONGEST_NAME] for name in dict.fromkeys(candidates))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image as it is shown (EXIF orientation applied), from its header.

    Raises:
        BadRecord: Missing, or not an image.
    """
    try:
        with open_image(path) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except ImageProblem as problem:
        raise BadRecord(str(problem)) from None
