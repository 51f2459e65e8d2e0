"""A user's own data (docs/custom-data.md), in the format of any common labelling tool (`formats`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from uniref.core.tasks import Task
from uniref.data.prepare.dataset import DataSet, Option, no_counts
from uniref.data.prepare.job import ConversionJob, FilesMissing

if TYPE_CHECKING:  # nothing of it is needed before a user's files are read
    from uniref.data.prepare.formats.file_tree import FileTree
    from uniref.data.prepare.formats.recognise import RecognisedFormat
    from uniref.data.prepare.source_files import SourceFiles

_MOST_NAMES = 8  # names of what was found, for a message


def find_splits(files: SourceFiles, root: Path) -> list[str]:
    """The splits that a user's files have; empty where no format is recognised.

    Raises:
        UniRefError: A file cannot be read.
    """
    recognised, _ = _recognise(files.bases, files.named, root)
    return list(recognised.splits) if recognised is not None else []


def convert(job: ConversionJob) -> None:
    """Convert one split of a user's own data, whatever format it is in.

    Raises:
        UniRefError: No known format, with the names of the files; or as the format's reader.
    """
    from uniref.data.prepare.source_files import packed

    # the format of the files
    recognised, trees = _recognise(job.bases, job.named, job.root)
    media = job.root / "media"
    if not job.unpacked:  # what is missing may be in archives
        outside = [not tree.base.is_relative_to(media) and bool(packed(tree.base)) for tree in trees]
        trees = [replace(tree, packed=packed_archives) for tree, packed_archives in zip(trees, outside, strict=True)]
    where = ", ".join(str(tree.base) for tree in trees)
    if recognised is None:
        raise FilesMissing(
            f"{job.dataset.name}/{job.split}: {where} holds no data in a known format ({_contents(trees)}); "
            "docs/custom-data.md lists the formats that are read"
        )
    # the files of this split
    paths = recognised.splits.get(job.split)
    alone = next(iter(recognised.splits)) if len(recognised.splits) == 1 else ""
    if paths is None and alone == "train" and (job.named or job.split in {base.name for base in job.bases}):
        paths = recognised.splits[alone]  # files whose names tell no split are taken for the requested one
    if paths is None:
        raise FilesMissing(
            f"{job.dataset.name}/{job.split}: {where} has no split {job.split}; {recognised.title} for "
            f"{', '.join(recognised.splits)} was found"
        )
    job.form = recognised.title
    recognised.prepare(job, paths, trees)


def _recognise(
    bases: Sequence[Path], named: Sequence[Path], root: Path
) -> tuple[RecognisedFormat | None, list[FileTree]]:
    from uniref.data.prepare.formats.file_tree import scan
    from uniref.data.prepare.formats.recognise import ANNOTATIONS, recognise

    named = [path for path in named if path.suffix.lower() in ANNOTATIONS]
    trees = [scan(base, root / "index") for base in bases]
    return recognise(trees, named), trees


def _contents(trees: Sequence[FileTree]) -> str:
    """Entries of the folders, for a message."""
    names = [name for tree in trees for name in (*(f"{x}/" for x in tree.below("")), *tree.folders.get("", ()))]
    if not names:
        return "nothing is in it"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"there are {', '.join(names[:_MOST_NAMES])}{more}"


_NAME = Option("name", "What to call your data set.")
_TASK = Option(
    "task",
    "What its samples are, where the files leave a choice.",
    choices=tuple(task.value for task in Task),
)

DATASETS = (
    DataSet(
        name="custom",
        title="Your own images or videos",
        task=Task.RIS,
        splits=no_counts("train", "val", "test"),
        convert=convert,
        size="yours",
        licence="yours",
        page="docs/custom-data.md",
        files="images or videos in one of the formats that docs/custom-data.md lists",
        group="custom",
        options=(_NAME, _TASK),
        find_splits=find_splits,
    ),
)
