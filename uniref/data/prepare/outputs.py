"""What `prepare-data` makes of an index: a contact sheet (--preview), and JSON that other tools read (--export)."""

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
from uniref.core.types import UInt8Image
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
        UniRefError: The PNG cannot be written; a picture cannot be read.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(index))[:count])
    write_contact_sheet(path, [draw_sample(index, index.sample(int(row))) for row in rows])


def draw_sample(index: Index, sample: Sample) -> tuple[UInt8Image, str]:
    """A sample's picture (of a clip, the frame that shows most of them) and what to write under it."""
    media = index.media(sample.media)
    tracks = {row: index.annotations(row) for row in sample.objects}
    frame = _best_frame(tracks.values())
    masks: dict[int, npt.NDArray[np.bool_]] = {}
    for number, track in enumerate(tracks.values(), start=1):
        place = track.at(frame)
        if place is not None:
            mask = track.mask(place)
            masks[number] = _frame_of(track.boxes[place], media.height, media.width) if mask is None else mask
    texts = [index.expression(row).text for row in sample.expressions]
    category = index.manifest.categories.get(sample.category, "")
    what = " | ".join(texts) or category or f"{len(sample.objects)} objects"
    return draw_overlay(read_frame(media, frame), masks), f"{sample.row}: {what}"


def _best_frame(tracks: Iterable[Annotations]) -> int:
    """Where most of the objects is seen; the first frame if they are nowhere."""
    areas: dict[int, float] = {}
    for track in tracks:
        for frame, area in zip(track.frames.tolist(), track.areas.tolist(), strict=True):
            areas[frame] = areas.get(frame, 0.0) + area
    return max(sorted(areas), key=lambda frame: areas[frame], default=0)


def _frame_of(box: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.bool_]:
    """A box without a mask, as its outline."""
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    thick = max(1, round(min(height, width) / 200))
    outer = np.zeros((height, width), bool)
    outer[max(y0, 0) : y1, max(x0, 0) : x1] = True
    outer[max(y0 + thick, 0) : max(y1 - thick, 0), max(x0 + thick, 0) : max(x1 - thick, 0)] = False
    return outer


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
