"""Checks of a written index: published counts and media files."""

from __future__ import annotations

import os
from functools import partial
from itertools import chain

import numpy as np

from uniref.core.errors import UniRefError
from uniref.core.parallel import ordered_map
from uniref.core.progress import Progress
from uniref.data.frames import frames_in_order
from uniref.data.index import Index, Media
from uniref.data.prepare.dataset import PublishedCounts
from uniref.data.prepare.job import (
    EMPTY_MASK,
    EMPTY_REF,
    EMPTY_SENTENCE,
    OTHER_SIZE,
    WITHHELD_IMAGE,
    WITHHELD_REF,
    BadRecord,
    image_size,
)
from uniref.data.prepare.videos import video_file_size

_CHUNK = 256  # images or videos that a process checks at a time
_NAMED = 6  # files in one message
_NAMES = {"media": "images or videos", "listed": "images"}


def count_problems(index: Index, expected: PublishedCounts) -> list[str]:
    """Differences from the published counts, one line each.

    Records that are left out on purpose count as if they were there; counts that `--clean` changes by an
    unknown number are not compared.
    """
    manifest, lengths = index.manifest, index.media_column("length")
    samples = _with(index, len(index), WITHHELD_REF, EMPTY_REF, OTHER_SIZE, EMPTY_MASK)
    actual = {
        "listed": _with(index, len(lengths), WITHHELD_IMAGE),
        "media": _with(index, len(np.unique(index.sample_column("media"))), OTHER_SIZE, EMPTY_MASK),
        "objects": manifest.tables["objects"].rows,
        "expressions": _with(index, manifest.tables["expressions"].rows, EMPTY_SENTENCE),
        "samples": samples,
        "frames": int(lengths.sum()),
    }
    compared = ("listed", "samples") if manifest.options.get("clean") else tuple(actual)
    lines = []
    for kind in compared:
        counts = getattr(expected, kind)
        published = counts if isinstance(counts, tuple) else () if counts is None else (counts,)
        if published and actual[kind] not in published:
            numbers = " or ".join(f"{number:,}" for number in published)
            lines.append(f"has {actual[kind]:,} {_NAMES.get(kind, kind)}, published are {numbers}")
    return lines


def _with(index: Index, count: int, *reasons: str) -> int:
    return count + sum(index.manifest.dropped.get(reason, 0) for reason in reasons)


def check_media(index: Index, progress: Progress, workers: int = 1) -> None:
    """Every image and every frame of a video exists, can be decoded, and has the size that the index says.

    Raises:
        UniRefError: Names those that do not, the first few of many.
    """
    count = index.manifest.tables["media"].rows
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    results = ordered_map(partial(_check_rows, index), chunks, workers if len(chunks) > 1 else 1)
    every = progress(chain.from_iterable(results), f"{index.manifest.name} media", count, "file")
    problems = [problem for problem in every if problem]
    if problems:
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        what = "it" if len(problems) == 1 else "them"
        raise UniRefError(f"{'; '.join(problems[:_NAMED])}{more}; {index.manifest.name} needs {what}")


def _check_rows(index: Index, rows: range) -> list[str]:
    media = [index.media(row) for row in rows]
    return [_check_one(each) or _decode(each) for each in media]  # headers first: their messages say more


def _decode(media: Media) -> str:
    """What is wrong with the pixels of an image or of any frame of a video; nothing if all can be decoded."""
    try:
        for _ in frames_in_order(media):
            pass
    except UniRefError as error:
        return str(error)
    return ""


def _check_one(media: Media) -> str:
    """What is wrong with an image or video; nothing if it is as the index says."""
    try:
        if media.kind == "video":
            length, *size = video_file_size(media.path)
            if length != media.length:
                return f"{media.path}: has {length} frames, the index says {media.length}"
        else:
            size = list(image_size(media.frame_path(0)))
    except BadRecord as error:
        return str(error) if media.kind == "video" else f"{media.frame_path(0)}: {error}"
    if size != [media.height, media.width]:
        return f"{media.path}: is {size[1]} x {size[0]}, the index says {media.width} x {media.height}"
    if media.kind == "frames":
        present = {entry.name for entry in os.scandir(media.path)}
        lost = next((name for name in media.frames if name not in present), None)
        return "" if lost is None else f"{media.path / lost}: no such file"
    return ""
