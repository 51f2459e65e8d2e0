"""A user's own data (docs/custom-data.md), in whatever format their tool writes it (`formats`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uniref.data.prepare.formats.file_tree import FileTree, scan
from uniref.data.prepare.formats.recognise import ANNOTATIONS, RecognisedFormat, recognise
from uniref.data.prepare.job import ConversionJob, FilesMissing
from uniref.data.prepare.source_files import SourceFiles, packed

_SHOWN = 8  # names of what was found, for a message


def splits_of(files: SourceFiles, root: Path) -> list[str]:
    """The splits that a user's files have; none where no format is recognised.

    Raises:
        UniRefError: A file cannot be read.
    """
    found, _ = _recognise(files.bases, files.named, root)
    return list(found.splits) if found is not None else []


def prepare(job: ConversionJob) -> None:
    """Whatever is found.

    Raises:
        UniRefError: No format is recognised, and the message says what was found; or as the format's reader.
    """
    found, trees = _recognise(job.bases, job.named, job.root)
    media = job.root / "media"
    if not job.unpacked:  # what is missing may be in archives
        outside = [not tree.base.is_relative_to(media) and bool(packed(tree.base)) for tree in trees]
        trees = [replace(tree, packed=left) for tree, left in zip(trees, outside, strict=True)]
    where = ", ".join(str(tree.base) for tree in trees)
    if found is None:
        raise FilesMissing(
            f"{job.dataset.name}/{job.split}: {where} holds no data in a form that is known ({_contents(trees)}); "
            "docs/custom-data.md lists the forms that are read"
        )
    paths = found.splits.get(job.split)
    alone = next(iter(found.splits)) if len(found.splits) == 1 else ""
    if paths is None and alone == "train" and (job.named or job.split in {base.name for base in job.bases}):
        paths = found.splits[alone]  # what names no split is what was asked for
    if paths is None:
        raise FilesMissing(
            f"{job.dataset.name}/{job.split}: {where} has no split {job.split}; {found.title} for "
            f"{', '.join(found.splits)} was found"
        )
    job.form = found.title
    found.prepare(job, paths, trees)


def _recognise(
    bases: Sequence[Path], named: Sequence[Path], root: Path
) -> tuple[RecognisedFormat | None, list[FileTree]]:
    named = [path for path in named if path.suffix.lower() in ANNOTATIONS]
    trees = [scan(base, root / "index") for base in bases]
    return recognise(trees, named), trees


def _contents(trees: Sequence[FileTree]) -> str:
    """What lies at the top of the folders, for a message."""
    names = [name for tree in trees for name in (*(f"{x}/" for x in tree.below("")), *tree.folders.get("", ()))]
    if not names:
        return "nothing is in it"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there are {', '.join(names[:_SHOWN])}{more}"
