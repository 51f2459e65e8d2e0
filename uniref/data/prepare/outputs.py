"""Outputs of `prepare-data` besides the index: a contact sheet (--preview), JSON for other tools (--export)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from uniref.core.atomic import atomic_file
from uniref.core.files import reading
from uniref.core.tasks import Task
from uniref.core.types import BoolMask, UInt8Image
from uniref.data.frames import read_frame
from uniref.data.index import Annotations, Index, Media, Object, Sample
from uniref.media.draw import draw_overlay, write_contact_sheet

_OBJECT = {1: "object"}


def write_preview(index: Index, path: Path, count: int, seed: int = 0) -> None:
    """Draw samples with their masks (or boxes) and expressions into one PNG.

    Args:
        index: Where they come from.
        path: The PNG.
        count: How many; drawn at random by `seed`, in order.

    Raises:
        UniRefError: The PNG cannot be written; an image cannot be read.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(index))[:count])
    write_contact_sheet(path, [draw_sample(index, index.sample(int(row))) for row in rows])


def draw_sample(index: Index, sample: Sample) -> tuple[UInt8Image, str]:
    """A sample's image (of a video, the frame with the largest object area), uint8 RGB [H, W, 3], and its caption."""
    media = index.media(sample.media)
    tracks = {row: index.annotations(row) for row in sample.objects}
    frame = _best_frame(tracks.values())
    masks: dict[int, BoolMask] = {}
    for number, track in enumerate(tracks.values(), start=1):
        position = track.at(frame)
        if position is not None:
            mask = track.mask(position)
            masks[number] = _frame_of(track.boxes[position], media.height, media.width) if mask is None else mask
    texts = [index.expression(row).text for row in sample.expressions]
    category = index.manifest.categories.get(sample.category, "")
    caption = " | ".join(texts) or category or f"{len(sample.objects)} objects"
    return draw_overlay(read_frame(media, frame), masks), f"{sample.row}: {caption}"


def _best_frame(tracks: Iterable[Annotations]) -> int:
    """The frame in which the objects cover most pixels; 0 if they are nowhere."""
    areas: dict[int, float] = {}
    for track in tracks:
        for frame, area in zip(track.frames.tolist(), track.areas.tolist(), strict=True):
            areas[frame] = areas.get(frame, 0.0) + area
    return max(sorted(areas), key=lambda frame: areas[frame], default=0)


def _frame_of(box: npt.NDArray[np.float32], height: int, width: int) -> BoolMask:
    """The outline of a box (x0, y0, x1, y1) as a mask, bool [height, width]."""
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    thick = max(1, round(min(height, width) / 200))
    outer = np.zeros((height, width), bool)
    outer[max(y0, 0) : y1, max(x0, 0) : x1] = True
    outer[max(y0 + thick, 0) : max(y1 - thick, 0), max(x0 + thick, 0) : max(x1 - thick, 0)] = False
    return outer


def export_json(index: Index, path: Path) -> str:
    """Write an index, streaming.

    Files are named relative to the first media root. Detection has one entry per image, with the data set's own ids and
    its crowds; every other task has one entry per sample, with its expressions, as the released system reads them.

    Returns:
        `COCO JSON` or `YouTube-VIS JSON`.

    Raises:
        UniRefError: The file cannot be written.
    """
    videos = _holds_videos(index)
    with atomic_file(path) as work, work.open("w", encoding="utf-8") as file:
        _write(index, file, videos)
    return "YouTube-VIS JSON" if videos else "COCO JSON"


def is_export(path: Path) -> bool:
    """Whether a file begins like one of `export_json`, so that another run may replace it."""
    with reading(path), path.open("rb") as file:
        head = file.read(1 << 12).decode("utf-8", "replace")
    return re.match(r'\{"info": \{"description": .*, "version": ".*"\},\n"categories": \[', head) is not None


@dataclass(frozen=True)
class _ExportedMedia:
    """An image or video as it is written."""

    id: int
    media: int
    objects: Sequence[int]
    expressions: Sequence[int] = ()


def _entries_of(index: Index) -> Iterator[_ExportedMedia]:
    if index.manifest.task is not Task.DETECTION or _holds_videos(index):
        for number, sample in enumerate(index, start=1):
            yield _ExportedMedia(number, sample.media, sample.objects, sample.expressions)
        return
    ids = index.media_column("source_id")
    own = len(np.unique(ids)) == len(ids) and (ids >= 0).all()
    for row in range(len(ids)):
        yield _ExportedMedia(int(ids[row]) if own else row + 1, row, index.media(row).objects)


def _holds_videos(index: Index) -> bool:
    return index.manifest.tables["media"].rows > 0 and index.media(0).kind != "image"


def _write(index: Index, file: TextIO, videos: bool) -> None:
    manifest = index.manifest
    categories = manifest.categories or _OBJECT
    info = {"description": manifest.name, "version": manifest.tool}
    file.write(f'{{"info": {json.dumps(info)},\n"categories": [')
    _entries(file, ({"id": i, "name": n, "supercategory": n} for i, n in categories.items()))
    file.write(f'],\n"{"videos" if videos else "images"}": [')
    _entries(file, (_media_entry(index, entry, videos) for entry in _entries_of(index)))
    file.write('],\n"annotations": [')
    _entries(file, _annotations(index, videos, categories))
    file.write("]}\n")


def _entries(file: TextIO, entries: Iterable[dict[str, Any]]) -> None:
    for number, entry in enumerate(entries):
        file.write((",\n" if number else "\n") + json.dumps(entry, ensure_ascii=False))


def _media_entry(index: Index, exported: _ExportedMedia, videos: bool) -> dict[str, Any]:
    media = index.media(exported.media)
    entry: dict[str, Any] = {"id": exported.id, "height": media.height, "width": media.width}
    if videos:
        inside = _inside(index, media)
        entry["length"] = media.length
        entry["video"] = media.name
        entry["file_names"] = [inside] if media.kind == "video" else [f"{inside}/{name}" for name in media.frames]
    else:
        entry["file_name"] = _inside(index, media)
    if exported.expressions:
        expressions = [index.expression(row) for row in exported.expressions]
        entry["expressions"] = [e.text for e in expressions]
        entry["exp_id"] = expressions[0].source_id
    return entry


def _inside(index: Index, media: Media) -> str:
    for root in index.roots:
        if media.path.is_relative_to(root):
            return media.path.relative_to(root).as_posix()
    return media.path.name


def _annotations(index: Index, videos: bool, categories: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    number = 0
    for exported in _entries_of(index):
        length = index.media(exported.media).length
        for row in exported.objects:
            number += 1
            obj, track = index.object(row), index.annotations(row)
            category = obj.category if obj.category in categories else min(categories)
            entry: dict[str, Any] = {"id": number, "category_id": category, "iscrowd": int(obj.crowd)}
            if videos:
                yield entry | {"video_id": exported.id} | _track(obj, track, length)
            elif len(track):
                yield entry | {"image_id": exported.id, "ori_id": obj.source_id} | _instance(track)


def _instance(track: Annotations) -> dict[str, Any]:
    entry: dict[str, Any] = {"bbox": _xywh(track, 0), "area": float(track.areas[0])}
    mask = _segmentation(track, 0)
    return entry if mask is None else entry | {"segmentation": mask}


def _track(obj: Object, track: Annotations, length: int) -> dict[str, Any]:
    masks: list[Any] = [None] * length
    boxes: list[Any] = [None] * length
    areas: list[Any] = [None] * length
    for k, frame in enumerate(track.frames.tolist()):
        masks[frame], boxes[frame], areas[frame] = _segmentation(track, k), _xywh(track, k), float(track.areas[k])
    return {"ori_id": str(obj.source_id), "segmentations": masks, "bboxes": boxes, "areas": areas}


def _segmentation(track: Annotations, position: int) -> dict[str, Any] | None:
    record = track.rle(position)
    return None if record is None else {"size": record["size"], "counts": record["counts"].decode("ascii")}


def _xywh(track: Annotations, position: int) -> list[float]:
    x0, y0, x1, y1 = (float(v) for v in track.boxes[position])
    return [x0, y0, x1 - x0, y1 - y0]
