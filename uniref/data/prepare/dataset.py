"""The description of a data set, as the modules of `uniref.data.prepare.datasets` declare it.

A data set is one file in that folder: its converter and a tuple `DATASETS` of the `DataSet`s that it converts. Nothing
else lists them: the command line, the downloads, the checks of counts and the evaluation read `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniref.core.tasks import Task
from uniref.data.protocol import Protocol

if TYPE_CHECKING:
    from uniref.data.prepare.job import ConversionJob
    from uniref.data.prepare.source_files import SourceFiles

COCO_IMAGES = "COCO images"
"""`DataSet.media_family` of data sets on COCO's images, which are identified by COCO's image ids."""
OVIS_VIDEOS = "OVIS videos"
"""`DataSet.media_family` of data sets that took videos from each other: OVIS, MOSE, MeViS, ReVOS (about half of MOSE v1
is from OVIS: henghuiding/MOSE-api, issue 28; ReVOS names its sources in cilinyan/ReVOS-api)."""
LVOS_VIDEOS = "LVOS videos"
"""`DataSet.media_family` of both versions of LVOS, which share videos."""
COCO_TERMS = "COCO terms of use; Flickr terms for the images"
RESEARCH_TERMS = "research use; terms on its site"


@dataclass(frozen=True)
class PublishedCounts:
    """Published counts of a split; None where none is known, which is then not checked."""

    media: int | None = None
    """Images or videos that have samples."""
    objects: int | None = None
    expressions: int | None = None
    samples: int | None = None
    listed: tuple[int, ...] = ()
    """Images of the annotation file, with or without samples; one number per published edition."""
    frames: int | None = None
    """Of all videos."""


@dataclass(frozen=True)
class RemoteFile:
    """A file with a public direct address."""

    url: str
    size: int | None = None
    """Bytes."""
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
class Option:
    """An option of `prepare-data` for single data sets; data sets that share one declare the same object."""

    name: str
    """`clean` is `--clean` on the command line and `ConversionJob.options["clean"]` in the converter."""
    help: str
    type: type[bool] | type[int] | type[str] | type[Path] = str
    """Of its value; `bool` is a flag."""
    choices: tuple[str, ...] = ()
    """Of a `str`: the values that it may have; empty: any."""
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class DataSet:
    """One data set: where its files come from, what they should hold, how they are converted and evaluated."""

    name: str
    """Keyword on the command line, and name of the index."""
    title: str
    task: Task
    """Of its samples, unless the converter chooses another."""
    splits: Mapping[str, PublishedCounts]
    convert: Callable[[ConversionJob], None]
    """Writes the index of one split."""
    size: str
    """Of the published files, for people."""
    licence: str
    page: str
    """Where to register, download by hand, or read more."""
    files: str
    """What to fetch by hand, for the message that asks for it."""
    layout: str = ""
    """The tree of files that the converter expects, relative to a source folder."""
    group: str = ""
    """Data sets of one group share their media folder, `<root>/media/<group>`; empty: made, not published."""
    folders: tuple[str, ...] = ()
    """What people call its folder (lower case), beside `group`: where to look first in a folder of many data sets."""
    downloads: tuple[RemoteFile, ...] = ()
    default_splits: tuple[str, ...] = ()
    """Those made where none is named; empty: all."""
    options: tuple[Option, ...] = ()
    """Options of `prepare-data` that it takes beside those of all data sets."""
    protocol: Protocol | None = None
    """How it is evaluated; None: by the general protocol of its task."""
    hidden: tuple[str, ...] = ()
    """Splits whose ground truth only a server has; given masks of first frames are in their index, and no truth."""
    papers: tuple[str, ...] = ()
    """Papers that evaluate on it or train with it, as `UniRef++ (train, val)`, for `prepare-data --list`."""
    media_family: str = ""
    """Data sets of one family have images or videos in common: a training split is checked against the evaluation
    splits of all of them."""
    find_splits: Callable[[SourceFiles, Path], Sequence[str]] | None = None
    """A user's own data: finds the splits that the source files have (given these and the root folder)."""

    @property
    def is_custom(self) -> bool:
        """Whether it is a user's own data, whose files and splits have any names."""
        return self.find_splits is not None


def no_counts(*splits: str) -> Mapping[str, PublishedCounts]:
    """Splits of which nothing is published."""
    return {split: PublishedCounts() for split in splits}


def option_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of all options, those that were used: not None and not an unset flag."""
    return {name: value for name, value in options.items() if value not in (None, False)}
