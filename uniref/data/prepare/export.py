"""An index as JSON that other tools read: COCO for images, YouTube-VIS for clips."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from uniref.core.atomic import atomic_file
from uniref.core.files import reading
from uniref.core.tasks import Task
from uniref.data.index import Annotations, Index, Media, Object

_OBJECT = {1: "object"}


def export_json(index: Index, path: Path) -> str:
    """Write an index, streaming.

    Files are named relative to the first media root. Detection has an entry an image, with the data set's own ids and
    its crowds; every other task has an entry a sample, with its expressions (the form that the released system reads).

    Returns:
        `COCO JSON` or `YouTube-VIS JSON`.

    Raises:
        UniRefError: The file cannot be written.
    """
    clips = _holds_clips(index)
    with atomic_file(path) as work, work.open("w", encoding="utf-8") as file:
        _write(index, file, clips)
    return "YouTube-VIS JSON" if clips else "COCO JSON"


def is_export(path: Path) -> bool:
    """Whether a file begins as `export_json` begins its own: another run may replace it."""
    with reading(path), path.open("rb") as file:
        head = file.read(1 << 12).decode("utf-8", "replace")
    return re.match(r'\{"info": \{"description": .*, "version": ".*"\},\n"categories": \[', head) is not None


@dataclass(frozen=True)
class _Entry:
    """An image or video as it is written."""

    id: int
    media: int
    objects: Sequence[int]
    expressions: Sequence[int] = ()


def _entries_of(index: Index) -> Iterator[_Entry]:
    if index.manifest.task is not Task.DETECTION or _holds_clips(index):
        for number, sample in enumerate(index, start=1):
            yield _Entry(number, sample.media, sample.objects, sample.expressions)
        return
    ids = index.media_column("source_id")
    own = len(np.unique(ids)) == len(ids) and (ids >= 0).all()
    for row in range(len(ids)):
        yield _Entry(int(ids[row]) if own else row + 1, row, index.media(row).objects)


def _holds_clips(index: Index) -> bool:
    return index.manifest.tables["media"].rows > 0 and index.media(0).kind != "image"


def _write(index: Index, file: TextIO, clips: bool) -> None:
    manifest = index.manifest
    categories = manifest.categories or _OBJECT
    info = {"description": manifest.name, "version": manifest.tool}
    file.write(f'{{"info": {json.dumps(info)},\n"categories": [')
    _entries(file, ({"id": i, "name": n, "supercategory": n} for i, n in categories.items()))
    file.write(f'],\n"{"videos" if clips else "images"}": [')
    _entries(file, (_media_entry(index, entry, clips) for entry in _entries_of(index)))
    file.write('],\n"annotations": [')
    _entries(file, _annotations(index, clips, categories))
    file.write("]}\n")


def _entries(file: TextIO, entries: Iterable[dict[str, Any]]) -> None:
    for place, entry in enumerate(entries):
        file.write((",\n" if place else "\n") + json.dumps(entry, ensure_ascii=False))


def _media_entry(index: Index, place: _Entry, clips: bool) -> dict[str, Any]:
    media = index.media(place.media)
    entry: dict[str, Any] = {"id": place.id, "height": media.height, "width": media.width}
    if clips:
        inside = _inside(index, media)
        entry["length"] = media.length
        entry["video"] = media.name
        entry["file_names"] = [inside] if media.kind == "video" else [f"{inside}/{name}" for name in media.frames]
    else:
        entry["file_name"] = _inside(index, media)
    if place.expressions:
        expressions = [index.expression(row) for row in place.expressions]
        entry["expressions"] = [e.text for e in expressions]
        entry["exp_id"] = expressions[0].source_id
    return entry


def _inside(index: Index, media: Media) -> str:
    for root in index.roots:
        if media.path.is_relative_to(root):
            return media.path.relative_to(root).as_posix()
    return media.path.name


def _annotations(index: Index, clips: bool, categories: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    number = 0
    for place in _entries_of(index):
        length = index.media(place.media).length
        for row in place.objects:
            number += 1
            thing, track = index.object(row), index.annotations(row)
            category = thing.category if thing.category in categories else min(categories)
            entry: dict[str, Any] = {"id": number, "category_id": category, "iscrowd": int(thing.crowd)}
            if clips:
                yield entry | {"video_id": place.id} | _track(thing, track, length)
            elif len(track):
                yield entry | {"image_id": place.id, "ori_id": thing.source_id} | _instance(track)


def _instance(track: Annotations) -> dict[str, Any]:
    entry: dict[str, Any] = {"bbox": _xywh(track, 0), "area": float(track.areas[0])}
    mask = _segmentation(track, 0)
    return entry if mask is None else entry | {"segmentation": mask}


def _track(thing: Object, track: Annotations, length: int) -> dict[str, Any]:
    masks: list[Any] = [None] * length
    boxes: list[Any] = [None] * length
    areas: list[Any] = [None] * length
    for k, frame in enumerate(track.frames.tolist()):
        masks[frame], boxes[frame], areas[frame] = _segmentation(track, k), _xywh(track, k), float(track.areas[k])
    return {"ori_id": str(thing.source_id), "segmentations": masks, "bboxes": boxes, "areas": areas}


def _segmentation(track: Annotations, place: int) -> dict[str, Any] | None:
    record = track.rle(place)
    return None if record is None else {"size": record["size"], "counts": record["counts"].decode("ascii")}


def _xywh(track: Annotations, place: int) -> list[float]:
    x0, y0, x1, y1 = (float(v) for v in track.boxes[place])
    return [x0, y0, x1 - x0, y1 - y0]
