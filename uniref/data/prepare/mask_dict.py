"""Videos with expressions whose masks lie in one dictionary, `mask_dict.json` (MeViS and ReVOS).

`{"videos": {video: {"frames": [...], "expressions": {id: {"exp": text, "anno_id": [...]}}}}}`; under each annotation id
the dictionary has a list with a run-length mask or null for every frame. An expression refers to all objects of its
`anno_id`, or to nothing where that is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.core.files import exists
from uniref.data.index import TRUTH, IndexWriter
from uniref.data.prepare.job import BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import region_of_counts
from uniref.data.prepare.videos import text_of

Kind = Callable[[Mapping[str, Any]], int]
"""From an expression's record to its `Sample.group`. Raises as for any bad record."""


def no_kind(expression: Mapping[str, Any]) -> int:
    """Of data sets whose expressions are all of one kind."""
    del expression
    return -1


@dataclass(frozen=True)
class ExpressionVideo:
    """A video, checked before anything is written."""

    name: str
    folder: Path
    path: str
    """The folder, relative to the root."""
    frames: tuple[str, ...]
    height: int
    width: int
    texts: Mapping[str, str]
    """By expression id."""
    objects: Mapping[str, tuple[str, ...]] | None
    """Annotation ids by expression id; None where only a server has the truth."""
    kinds: Mapping[str, int]
    tracks: Mapping[str, Mapping[int, bytes]]
    """Run lengths by annotation id and frame."""


def read_mask_dict(job: ConversionJob, path: Path) -> Mapping[str, Any]:
    """The masks by annotation id. Raises UniRefError."""
    masks = job.read_json(path)
    if not isinstance(masks, dict):
        raise UniRefError(f"{path}: does not hold masks by annotation id")
    return masks


def expression_video(
    root: Path,
    path: str,
    name: str,
    record: Mapping[str, Any],
    masks: Mapping[str, Any] | None,
    kind: Kind = no_kind,
) -> ExpressionVideo:
    """Check a video's frames, expressions and masks.

    Args:
        root: Folder that `path` is relative to.
        path: Folder of the frames, with `/`.
        name: Of the video.
        record: With `frames` and `expressions`.
        masks: By annotation id; None where only a server has them.
        kind: Of an expression.

    Raises:
        BadRecord: A frame, an annotation or a mask is missing, or a mask is of another size.
    """
    # frames and texts
    frames = tuple(f"{frame}.jpg" for frame in sorted(record["frames"]))
    for frame in frames:
        if not exists(root / path / frame):
            raise BadRecord(f"{root / path / frame}: no such file")
    height, width = image_size(root / path / frames[0])
    expressions = {str(number): expression for number, expression in record["expressions"].items()}
    texts = {number: text_of(expression["exp"]) for number, expression in expressions.items()}
    kinds = {number: kind(expression) for number, expression in expressions.items()}
    if masks is None:
        return ExpressionVideo(name, root / path, path, frames, height, width, texts, None, kinds, {})
    # objects, and the masks of those that an expression refers to
    objects = {number: _annotation_ids(expression) for number, expression in expressions.items()}
    needed = sorted({key for keys in objects.values() for key in keys}, key=int)
    tracks = {key: mask_track(masks, key, len(frames), height, width) for key in needed}
    return ExpressionVideo(name, root / path, path, frames, height, width, texts, objects, kinds, tracks)


def _annotation_ids(expression: Mapping[str, Any]) -> tuple[str, ...]:
    """Annotations that an expression refers to. Raises BadRecord."""
    keys = expression["anno_id"]
    if not isinstance(keys, list) or not all(str(key).isdecimal() for key in keys):
        raise BadRecord(f"the annotations of {expression['exp']!r} are {keys!r}, not a list of ids")
    return tuple(dict.fromkeys(str(key) for key in keys))


def mask_track(masks: Mapping[str, Any], key: str, length: int, height: int, width: int) -> dict[int, bytes]:
    """Run lengths of an annotation by frame. Raises BadRecord."""
    if key not in masks:
        raise BadRecord(f"annotation {key} is not in mask_dict.json")
    if len(masks[key]) != length:
        raise BadRecord(f"annotation {key} has {len(masks[key])} masks for {length} frames")
    try:
        encoded = [None if mask is None else rle.from_segmentation(mask, height, width) for mask in masks[key]]
    except ValueError as error:
        raise BadRecord(f"annotation {key}: {error}") from None
    return {frame: counts for frame, counts in enumerate(encoded) if counts is not None}


def add_expression_video(writer: IndexWriter, video: ExpressionVideo, root: str) -> None:
    """The video with its objects, and a sample per expression with all objects that it refers to."""
    writer.add_media(
        name=video.name,
        kind="frames",
        root=root,
        path=video.path,
        frames=video.frames,
        width=video.width,
        height=video.height,
        complete=video.objects is not None,
    )
    rows = {key: add_mask_track(writer, video, int(key), track) for key, track in video.tracks.items()}
    for number, text in video.texts.items():
        keys = None if video.objects is None else video.objects[number]
        writer.add_sample(
            objects=[rows[key] for key in keys or ()],
            expressions=[writer.add_expression(text, source_id=number)],
            group=video.kinds[number],
            no_target=keys == (),
        )


def add_mask_track(
    writer: IndexWriter, video: ExpressionVideo, number: int, track: Mapping[int, bytes], category: int = -1
) -> int:
    """An object of the last video; returns its row."""
    row = writer.add_object(source_id=number, category=category)
    for frame, counts in track.items():
        region = region_of_counts(counts, video.height, video.width)
        writer.add_annotation(frame, region.box, region.counts, region.area, TRUTH)
    return row


def note_no_target(job: ConversionJob, count: int, every: int) -> None:
    """How many expressions refer to nothing, where some do."""
    if count:
        left_out = "; training leaves them out" if job.split == "train" else ""
        job.notes.append(f"{count:,} of {every:,} expressions refer to nothing{left_out}")
