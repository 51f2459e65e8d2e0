"""What can be said about an index once it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uniref.core.errors import UniRefError
from uniref.data.index import Index
from uniref.data.prepare.catalog import Expected
from uniref.data.prepare.job import BadRecord, Progress, image_size

_SHARE_MEDIA = (
    {"refcoco", "refcoco+", "refcocog", "refcoco-mixed", "coco"},
    {"ovis", "mose", "mevis"},
)
"""Data sets whose splits may hold each other's images or videos."""


def count_problems(index: Index, expected: Expected) -> list[str]:
    """Differences from the published counts, a line each."""
    actual = {
        "media": len(np.unique(index.sample_column("media"))),
        "objects": index.manifest.tables["objects"].rows,
        "expressions": index.manifest.tables["expressions"].rows,
        "samples": len(index),
    }
    names = {"media": "images or videos"}
    return [
        f"has {actual[kind]:,} {names.get(kind, kind)}, published are {wanted:,}"
        for kind in actual
        if (wanted := getattr(expected, kind)) is not None and wanted != actual[kind]
    ]


def check_media(index: Index, progress: Progress) -> None:
    """Every picture exists and has the size that the index says (the first frame of a clip; all must exist).

    Raises:
        UniRefError: Names the first that does not.
    """
    rows = range(index.manifest.tables["media"].rows)
    for row in progress(rows, f"{index.manifest.name} media", len(rows), "file"):
        media = index.media(row)
        if media.kind == "video":
            if not media.path.is_file():
                raise UniRefError(f"{media.path}: no such file (media {media.name} of {index.manifest.name})")
            continue
        try:
            size = image_size(media.frame_path(0))
        except BadRecord as error:
            raise UniRefError(f"{media.frame_path(0)}: {error} (media {media.name})") from None
        if size != (media.height, media.width):
            raise UniRefError(
                f"{media.frame_path(0)}: is {size[1]} x {size[0]}, the index says {media.width} x {media.height}"
            )
        for frame in range(1, media.length):
            if not media.frame_path(frame).is_file():
                raise UniRefError(f"{media.frame_path(frame)}: no such file (media {media.name})")


def leaks(index: Index, root: Path) -> list[str]:
    """Images or videos of a training split that a prepared evaluation split also has, a line a split."""
    if "train" not in index.manifest.split:
        return []
    family = next((group for group in _SHARE_MEDIA if index.manifest.dataset in group), None)
    if family is None:
        return []
    mine = _names(index)
    lines = []
    for manifest in sorted((root / "index").glob("*/*/manifest.json")):
        dataset, split = manifest.parent.parent.name, manifest.parent.name
        if dataset not in family or "train" in split or split.startswith("."):
            continue
        try:
            shared = len(mine & _names(Index.open(manifest.parent)))
        except UniRefError:
            continue
        if shared:
            lines.append(f"{shared:,} of its images or videos are also in {dataset}/{split}, which is for evaluation")
    return lines


def _names(index: Index) -> set[str | int]:
    """What identifies its media: COCO's image ids, or the videos' names."""
    ids = index.media_column("source_id")
    if index.manifest.dataset in _SHARE_MEDIA[0]:
        return set(ids.tolist())
    return {index.media(row).name for row in range(len(ids))}
