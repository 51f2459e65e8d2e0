"""What an entry of the catalogue says about a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from uniref.core.tasks import Task


@dataclass(frozen=True)
class PublishedCounts:
    """Published counts of a split; None where none is known."""

    media: int | None = None
    """Images or videos that have samples."""
    objects: int | None = None
    expressions: int | None = None
    samples: int | None = None
    listed: tuple[int, ...] = ()
    """Images of the annotation file, with or without samples; one number for each published edition."""
    frames: int | None = None
    """Of all videos."""


@dataclass(frozen=True)
class RemoteFile:
    """A file with a public direct address."""

    url: str
    size: int | None = None
    sha256: tuple[str, ...] = ()
    """Every one that was ever published."""
    md5: str | None = None
    splits: tuple[str, ...] = ()
    """Only needed for these; empty: for all."""
    folder: str = ""
    """Where it is unpacked, below the group's media folder."""
    instead: tuple[str, ...] = ()
    """Paths that make it needless where one of them is there already."""
    editions: tuple[str, ...] = ()
    """What each of `sha256` is called, where there are several."""

    @property
    def name(self) -> str:
        """File name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DataSet:
    """One data set."""

    name: str
    title: str
    task: Task
    splits: Mapping[str, PublishedCounts]
    module: str
    """Module of this package whose `prepare(job)` makes the index."""
    group: str
    """Data sets of one group share their media folder, `<root>/media/<group>`."""
    size: str
    licence: str
    page: str
    """Where to register, download by hand, or read more."""
    files: str
    """What to fetch by hand, for the message that asks for it."""
    remotes: tuple[RemoteFile, ...] = ()
    options: tuple[str, ...] = field(default=())
    """Options of `prepare-data` that only some data sets have."""
    default_splits: tuple[str, ...] = ()
    """Those made where none is named; empty: all."""
    folders: tuple[str, ...] = ()
    """What people call its folder (lower case), beside `group`: where to look first in a folder of many data sets."""
